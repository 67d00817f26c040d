"""Data Factory's exports: read pipelines and linked services, and propose what replaces them. Pure."""
