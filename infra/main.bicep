// Everything that the app needs in Azure, in a resource group of its own. docs/deploy.md says how to use it.
targetScope = 'subscription'

@description('Name of the azd environment. The names of all resources come from it.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Region; it must offer Flex Consumption.')
@metadata({
  azd: {
    type: 'location'
  }
})
param location string

@description('Object id of the identity that deploys: administrator of the database, and may write secrets to the vault.')
param principalId string

@description('Its type: User, Group or ServicePrincipal.')
param principalType string = 'User'

@description('App settings of the README by their names. An empty one has the default of the app.')
param settings object

@description('DATABRICKS_WORKSPACES: further workspaces. Secrets are names of secrets in the vault.')
param databricksWorkspaces object = {}

@description('Proxies of the app. They are not read from names such as HTTPS_PROXY, which azd itself may need.')
param proxies object = {}

@description('Name of the secret in the vault that is the password of notifications (EVENTS_SECRET). Empty = none.')
param eventsSecretName string = ''

@description('Name of the secret in the vault that is the address of alerts (ALERT_WEBHOOK_URL). Empty = none.')
param alertWebhookSecretName string = ''

@description('The queue between trigger and submit.')
param submitQueueName string = 'submit-jobs'

@description('When the trigger runs: six fields, UTC.')
param triggerSchedule string = '0 * * * * *'

@description('When the monitor runs: six fields, UTC.')
param monitorSchedule string = '30 * * * * *'

@description('Most instances of each function, all HTTP functions being one. docs/sqlserver.md says how many each size of database can serve.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 5

@description('Memory of an instance in MB: 512, 2048 or 4096.')
param instanceMemoryMB int = 2048

@description('Instances that never stop, as a list of {name, instanceCount}: function:trigger, function:submit, http.')
param alwaysReady array = []

@description('Name of an Azure SQL server that exists, NAME.database.windows.net. Empty = one is made.')
param existingSqlServer string = ''

@description('Name of the database.')
param sqlDatabaseName string = 'orchestration'

@description('Maximum number of vCores of the new serverless database.')
param sqlMaxVCores int = 2

@description('Virtual network with private endpoints; Storage, the vault and the database then have no public access.')
param privateNetwork bool = false

@description('Address space of the virtual network.')
param networkAddressPrefix string = '10.61.0.0/24'

@description('Its part for the instances of the app.')
param appSubnetPrefix string = '10.61.0.0/26'

@description('Its part for private endpoints.')
param endpointSubnetPrefix string = '10.61.0.64/26'

@description('Public IPv4 address from which the hook reaches the database and the vault. Empty = none.')
param clientIpAddress string = ''

@description('Alert if trigger or monitor has had no successful pass for this long. Three intervals of the rarer schedule.')
@allowed(['PT15M', 'PT30M', 'PT45M', 'PT1H', 'PT2H', 'PT3H', 'PT4H', 'PT5H', 'PT6H', 'P1D'])
param standStillWindow string = 'PT15M'

@description('Receives the alerts of Azure Monitor. Empty = they are shown in the portal only.')
param alertEmail string = ''

@description('Function key with which a probe calls /api/health every five minutes. Empty = no probe.')
@secure()
param healthProbeKey string = ''

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = {
  'azd-env-name': environmentName
}
var makesSql = empty(existingSqlServer)

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: 'id-${token}'
    location: location
    tags: tags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    logAnalyticsName: 'log-${token}'
    applicationInsightsName: 'appi-${token}'
    location: location
    tags: tags
  }
}

module network 'modules/network.bicep' = if (privateNetwork) {
  name: 'network'
  scope: group
  params: {
    name: 'vnet-${token}'
    addressPrefix: networkAddressPrefix
    appSubnetPrefix: appSubnetPrefix
    endpointSubnetPrefix: endpointSubnetPrefix
    location: location
    tags: tags
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: 'st${token}'
    queueName: submitQueueName
    isPrivate: privateNetwork
    logAnalyticsId: monitoring.outputs.logAnalyticsId
    location: location
    tags: tags
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  scope: group
  params: {
    name: 'kv-${token}'
    isPrivate: privateNetwork
    clientIpAddress: clientIpAddress
    logAnalyticsId: monitoring.outputs.logAnalyticsId
    location: location
    tags: tags
  }
}

module sql 'modules/sql.bicep' = if (makesSql) {
  name: 'sql'
  scope: group
  params: {
    name: 'sql-${token}'
    databaseName: sqlDatabaseName
    maxVCores: sqlMaxVCores
    administratorId: principalId
    administratorType: principalType == 'ServicePrincipal' ? 'Application' : principalType
    isPrivate: privateNetwork
    clientIpAddress: clientIpAddress
    logAnalyticsId: monitoring.outputs.logAnalyticsId
    location: location
    tags: tags
  }
}

module endpoints 'modules/endpoints.bicep' = if (privateNetwork) {
  name: 'endpoints'
  scope: group
  params: {
    token: token
    subnetId: privateNetwork ? network.outputs.endpointSubnetId : ''
    networkId: privateNetwork ? network.outputs.id : ''
    storageId: storage.outputs.id
    vaultId: vault.outputs.id
    sqlServerId: makesSql ? sql.outputs.id : ''
    location: location
    tags: tags
  }
}

module roles 'modules/roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    storageName: storage.outputs.name
    vaultName: vault.outputs.name
    applicationInsightsName: monitoring.outputs.applicationInsightsName
    appPrincipalId: identity.outputs.principalId
    deployerPrincipalId: principalId
    deployerPrincipalType: principalType
  }
}

var sqlServer = makesSql ? sql.outputs.server : existingSqlServer
var sqlConnectionString = 'SERVER=tcp:${sqlServer};DATABASE=${sqlDatabaseName}'

module app 'modules/app.bicep' = {
  name: 'app'
  scope: group
  params: {
    name: 'func-${token}'
    planName: 'plan-${token}'
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageName: storage.outputs.name
    packageContainerUrl: storage.outputs.packageContainerUrl
    vaultName: vault.outputs.name
    applicationInsightsName: monitoring.outputs.applicationInsightsName
    sqlConnectionString: sqlConnectionString
    settings: settings
    databricksWorkspaces: databricksWorkspaces
    proxies: proxies
    eventsSecretName: eventsSecretName
    alertWebhookSecretName: alertWebhookSecretName
    submitQueueName: submitQueueName
    triggerSchedule: triggerSchedule
    monitorSchedule: monitorSchedule
    maximumInstanceCount: maximumInstanceCount
    instanceMemoryMB: instanceMemoryMB
    alwaysReady: alwaysReady
    subnetId: privateNetwork ? network.outputs.appSubnetId : ''
    location: location
    tags: tags
  }
  // The host reads the package and the queue as soon as it is there, and does not ask again for a while.
  dependsOn: [
    roles
    endpoints
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    token: token
    appName: app.outputs.name
    appHost: app.outputs.host
    queueName: submitQueueName
    applicationInsightsId: monitoring.outputs.applicationInsightsId
    logAnalyticsId: monitoring.outputs.logAnalyticsId
    standStillWindow: standStillWindow
    email: alertEmail
    healthProbeKey: healthProbeKey
    location: location
    tags: tags
  }
}

// What the hook and docs/deploy.md use. None is named AZURE_CLIENT_ID, which would change who the hook signs in as.
output AZURE_LOCATION string = location
output RESOURCE_GROUP string = group.name
output FUNCTION_APP_NAME string = app.outputs.name
output FUNCTION_APP_URL string = 'https://${app.outputs.host}'
output KEY_VAULT_NAME string = vault.outputs.name
output KEY_VAULT_URL string = vault.outputs.url
output APP_IDENTITY_NAME string = identity.outputs.name
output APP_IDENTITY_CLIENT_ID string = identity.outputs.clientId
output SQL_CONNECTION_STRING string = sqlConnectionString
