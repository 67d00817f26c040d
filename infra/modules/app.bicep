// The function app on Flex Consumption, with every setting that it reads.
param name string
param planName string
param identityId string
param identityClientId string
param storageName string
param packageContainerUrl string
param vaultName string
param applicationInsightsName string
param sqlConnectionString string
param settings object
param databricksWorkspaces object
param proxies object
param eventsSecretName string
param alertWebhookSecretName string
param submitQueueName string
param triggerSchedule string
param monitorSchedule string
param maximumInstanceCount int
param instanceMemoryMB int
param alwaysReady array
@description('Subnet of the app\'s outgoing calls. Empty = none.')
param subnetId string
param location string
param tags object

resource storage 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: storageName
}

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: vaultName
}

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

var eventsSecret = '@Microsoft.KeyVault(VaultName=${vaultName};SecretName=${eventsSecretName})'
var alertWebhook = '@Microsoft.KeyVault(VaultName=${vaultName};SecretName=${alertWebhookSecretName})'

// Not set: STATE_DB, which the app refuses in Azure; DATABRICKS_TOKEN and DATABRICKS_CLIENT_SECRET, which are for local
// work; TABLE_NAME_COLUMN, PARAMETERS_COLUMN and STATUS_MAP, which only init-db --adopt reads, on another machine.
var ownSettings = {
  AzureWebJobsStorage__blobServiceUri: storage.properties.primaryEndpoints.blob
  AzureWebJobsStorage__queueServiceUri: storage.properties.primaryEndpoints.queue
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AZURE_CLIENT_ID: identityClientId
  APPLICATIONINSIGHTS_CONNECTION_STRING: applicationInsights.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: '1048576'
  KEY_VAULT_URL: vault.properties.vaultUri
  SQL_CONNECTION_STRING: sqlConnectionString
  DATABRICKS_WORKSPACES: string(databricksWorkspaces)
  SUBMIT_QUEUE_NAME: submitQueueName
  TRIGGER_SCHEDULE: triggerSchedule
  MONITOR_SCHEDULE: monitorSchedule
  EVENTS_SECRET: empty(eventsSecretName) ? '' : eventsSecret
  ALERT_WEBHOOK_URL: empty(alertWebhookSecretName) ? '' : alertWebhook
}

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  // checkov:skip=CKV_AZURE_225:zone redundancy costs always-ready instances; a lost zone delays entries and loses none
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  // checkov:skip=CKV_AZURE_222:Databricks and people call the app from outside, each with a key or a secret
  // checkov:skip=CKV_AZURE_17:callers bring a function key; Databricks cannot present a client certificate
  // checkov:skip=CKV_AZURE_212:Flex Consumption scales by itself, from none; alwaysReady is a parameter
  // checkov:skip=CKV_AZURE_213:Flex Consumption has none of its own; the probe of alerts.bicep looks
  name: name
  location: location
  // azd deploys the service of azure.yaml to what has its name.
  tags: union(tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    clientAffinityEnabled: false
    publicNetworkAccess: 'Enabled'
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageContainerUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: '3.12'
      }
      scaleAndConcurrency: {
        maximumInstanceCount: maximumInstanceCount
        instanceMemoryMB: instanceMemoryMB
        alwaysReady: alwaysReady
      }
    }
  }
}

resource appSettings 'Microsoft.Web/sites/config@2024-04-01' = {
  // checkov:skip=CKV_AZURE_222:this resource holds app settings only; the check takes it for the site
  // checkov:skip=CKV_AZURE_80:this resource holds app settings only; the check takes it for the site
  // checkov:skip=CKV_AZURE_13:this resource holds app settings only; the check takes it for the site
  // checkov:skip=CKV_AZURE_88:this resource holds app settings only; the check takes it for the site
  // checkov:skip=CKV_AZURE_63:this resource holds app settings only; the check takes it for the site
  // checkov:skip=CKV_AZURE_65:this resource holds app settings only; the check takes it for the site
  // checkov:skip=CKV_AZURE_66:this resource holds app settings only; the check takes it for the site
  parent: app
  name: 'appsettings'
  properties: union(proxies, settings, ownSettings)
}

// Whoever publishes signs in by Microsoft Entra ID.
resource publishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

resource ftp 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

output name string = app.name
output host string = app.properties.defaultHostName
