// Azure SQL: a serverless database on a server that only takes identities of Microsoft Entra ID.
param name string
param databaseName string
param maxVCores int
@description('Object id of the administrator, who has to run the hook.')
param administratorId string
@description('User, Group or Application.')
param administratorType string
@description('No public access but from clientIpAddress.')
param isPrivate bool
param clientIpAddress string
param logAnalyticsId string
param location string
param tags object

// The least that Azure takes: an eighth of the maximum, in thousandths, and never below 0.5.
var minThousandths = max(maxVCores, 4) * 125
var minVCores = '${minThousandths / 1000}.${padLeft(string(minThousandths % 1000), 3, '0')}'
var publicAccess = isPrivate && empty(clientIpAddress) ? 'Disabled' : 'Enabled'

resource server 'Microsoft.Sql/servers@2023-08-01-preview' = {
  // checkov:skip=CKV_AZURE_113:without a private network the app comes from an address of Azure that is not fixed
  name: name
  location: location
  tags: tags
  properties: {
    minimalTlsVersion: '1.2'
    publicNetworkAccess: publicAccess
    administrators: {
      administratorType: 'ActiveDirectory'
      azureADOnlyAuthentication: true
      login: 'deployer'
      sid: administratorId
      principalType: administratorType
      tenantId: subscription().tenantId
    }
  }
}

resource database 'Microsoft.Sql/servers/databases@2023-08-01-preview' = {
  // checkov:skip=CKV_AZURE_229:zone redundancy doubles the price; a lost zone delays entries, and the backup has them
  // checkov:skip=CKV_AZURE_26:Microsoft Defender for SQL is the subscription's to turn on, for all servers
  // checkov:skip=CKV_AZURE_27:Microsoft Defender for SQL is the subscription's to turn on, for all servers
  parent: server
  name: databaseName
  location: location
  tags: tags
  sku: {
    name: 'GP_S_Gen5'
    tier: 'GeneralPurpose'
    family: 'Gen5'
    capacity: maxVCores
  }
  properties: {
    minCapacity: json(minVCores)
    // With timers that run every minute it never pauses; with rare ones it does, and the app waits for it.
    autoPauseDelay: 60
    requestedBackupStorageRedundancy: 'Local'
  }
}

// The app's outgoing addresses are not fixed: without a private network all of Azure may knock, and needs an identity.
resource azure 'Microsoft.Sql/servers/firewallRules@2023-08-01-preview' = if (!isPrivate) {
  parent: server
  name: 'AllowAllWindowsAzureIps'
  properties: {
    startIpAddress: '0.0.0.0'
    endIpAddress: '0.0.0.0'
  }
}

resource client 'Microsoft.Sql/servers/firewallRules@2023-08-01-preview' = if (!empty(clientIpAddress)) {
  parent: server
  name: 'deployer'
  properties: {
    startIpAddress: clientIpAddress
    endIpAddress: clientIpAddress
  }
}

// Who signed in and what they ran, in Log Analytics.
resource audit 'Microsoft.Sql/servers/auditingSettings@2023-08-01-preview' = {
  parent: server
  name: 'default'
  properties: {
    state: 'Enabled'
    isAzureMonitorTargetEnabled: true
    auditActionsAndGroups: [
      'SUCCESSFUL_DATABASE_AUTHENTICATION_GROUP'
      'FAILED_DATABASE_AUTHENTICATION_GROUP'
      'DATABASE_PERMISSION_CHANGE_GROUP'
      'SCHEMA_OBJECT_CHANGE_GROUP'
    ]
  }
}

resource master 'Microsoft.Sql/servers/databases@2023-08-01-preview' existing = {
  parent: server
  name: 'master'
}

resource auditLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: master
  name: 'audit-to-log-analytics'
  properties: {
    workspaceId: logAnalyticsId
    logs: [
      {
        category: 'SQLSecurityAuditEvents'
        enabled: true
      }
    ]
  }
  dependsOn: [
    database
  ]
}

output id string = server.id
output server string = server.properties.fullyQualifiedDomainName
