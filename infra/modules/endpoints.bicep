// Private endpoints of what the app calls, each with the DNS zone in which the app finds it.
param token string
param subnetId string
param networkId string
param storageId string
param vaultId string
@description('Empty = the database is one that exists, whose network is its owner\'s.')
param sqlServerId string
param location string
param tags object

module blob 'endpoint.bicep' = {
  name: 'endpoint-blob'
  params: {
    name: 'pe-blob-${token}'
    targetId: storageId
    groupId: 'blob'
    zoneName: 'privatelink.blob.${environment().suffixes.storage}'
    subnetId: subnetId
    networkId: networkId
    location: location
    tags: tags
  }
}

module queue 'endpoint.bicep' = {
  name: 'endpoint-queue'
  params: {
    name: 'pe-queue-${token}'
    targetId: storageId
    groupId: 'queue'
    zoneName: 'privatelink.queue.${environment().suffixes.storage}'
    subnetId: subnetId
    networkId: networkId
    location: location
    tags: tags
  }
}

module vault 'endpoint.bicep' = {
  name: 'endpoint-vault'
  params: {
    name: 'pe-vault-${token}'
    targetId: vaultId
    groupId: 'vault'
    zoneName: 'privatelink.vaultcore.azure.net'
    subnetId: subnetId
    networkId: networkId
    location: location
    tags: tags
  }
}

module sql 'endpoint.bicep' = if (!empty(sqlServerId)) {
  name: 'endpoint-sql'
  params: {
    name: 'pe-sql-${token}'
    targetId: sqlServerId
    groupId: 'sqlServer'
    zoneName: 'privatelink${environment().suffixes.sqlServerHostname}'
    subnetId: subnetId
    networkId: networkId
    location: location
    tags: tags
  }
}
