"""Stand-ins of Azure Key Vault and of a managed identity, good enough for Microsoft's own SDK."""
