// Alert rules. Each names what is wrong; docs/alerts.md and docs/telemetry.md say more.
param token string
@description('The app\'s default host name; the first part of it is the role under which its telemetry is kept.')
param appHost string
@description('The app\'s name, in lower case the role under which the Functions host keeps its telemetry.')
param appName string
param queueName string
@description('How long trigger or monitor may go without a successful pass, as an ISO 8601 duration.')
param standStillWindow string
param applicationInsightsId string
param logAnalyticsId string
@description('Empty = no message is sent, and the alerts are shown in the portal.')
param email string
@secure()
param healthProbeKey string
param location string
param tags object

var role = toLower(split(appHost, '.')[0])
// Not the app's where Azure appends to host names what makes them unique.
var hostRole = toLower(appName)
var receivers = empty(email) ? [] : [
  actions.id
]

// A function that began, and did not fail, within the time; none of its rows is the alert.
var passes = 'traces | where cloud_RoleName == "${role}" and customDimensions.event == "pass"'
var ended = 'traces | where cloud_RoleName == "${role}" and customDimensions.event in ("finished", "refused")'

var rules = [
  {
    name: 'trigger-stands-still'
    title: 'No pass of trigger has succeeded in time: no entry is submitted'
    query: '${passes} and customDimensions.function == "trigger" and customDimensions.outcome != "failed"'
    scope: applicationInsightsId
    operator: 'LessThan'
    threshold: 1
    severity: 1
    window: standStillWindow
  }
  {
    name: 'monitor-stands-still'
    title: 'No pass of monitor has succeeded in time: no run is brought to its end'
    query: '${passes} and customDimensions.function == "monitor" and customDimensions.outcome != "failed"'
    scope: applicationInsightsId
    operator: 'LessThan'
    threshold: 1
    severity: 1
    window: standStillWindow
  }
  {
    name: 'pass-failed'
    title: 'A pass of a timer function has failed'
    query: '${passes} and customDimensions.outcome == "failed"'
    scope: applicationInsightsId
    operator: 'GreaterThan'
    threshold: 0
    severity: 2
    window: 'PT15M'
  }
  {
    name: 'invocation-failed'
    title: 'An invocation of trigger, submit or monitor has failed'
    query: 'requests | where cloud_RoleName in ("${role}", "${hostRole}") and success == false and operation_Name in ("trigger", "submit", "monitor")'
    scope: applicationInsightsId
    operator: 'GreaterThan'
    threshold: 0
    severity: 2
    window: 'PT15M'
  }
  {
    name: 'entry-dead'
    title: 'An entry went DEAD: nothing tries it again by itself'
    query: '${ended} and customDimensions.status == "DEAD"'
    scope: applicationInsightsId
    operator: 'GreaterThan'
    threshold: 0
    severity: 3
    window: 'PT15M'
  }
  {
    name: 'poison-message'
    title: 'A message went to the poison queue after five failures of submit'
    query: 'StorageQueueLogs | where OperationName == "PutMessage" and Uri contains "/${queueName}-poison/"'
    scope: logAnalyticsId
    operator: 'GreaterThan'
    threshold: 0
    severity: 2
    window: 'PT15M'
  }
]

resource actions 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: 'ag-${token}'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'orchestrator'
    emailReceivers: [
      {
        name: 'on-call'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for rule in rules: {
  name: '${rule.name}-${token}'
  location: location
  tags: tags
  properties: {
    displayName: rule.name
    description: rule.title
    severity: rule.severity
    enabled: true
    scopes: [
      rule.scope
    ]
    evaluationFrequency: 'PT5M'
    windowSize: rule.window
    autoMitigate: true
    // The tables of a new workspace are there only when their first row is.
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: rule.query
          timeAggregation: 'Count'
          operator: rule.operator
          threshold: rule.threshold
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: receivers
    }
  }
}]

// Health knows what no log line says, such as entries that wait though slots are free.
resource probe 'Microsoft.Insights/webtests@2022-06-15' = if (!empty(healthProbeKey)) {
  name: 'health-${token}'
  location: location
  tags: union(tags, { 'hidden-link:${applicationInsightsId}': 'Resource' })
  kind: 'standard'
  properties: {
    SyntheticMonitorId: 'health-${token}'
    Name: 'health'
    Kind: 'standard'
    Enabled: true
    Frequency: 300
    Timeout: 60
    RetryEnabled: true
    Locations: [
      {
        Id: 'emea-nl-ams-azr'
      }
      {
        Id: 'us-va-ash-azr'
      }
      {
        Id: 'apac-sg-sin-azr'
      }
      {
        Id: 'emea-gb-db3-azr'
      }
      {
        Id: 'us-ca-sjc-azr'
      }
    ]
    Request: {
      RequestUrl: 'https://${appHost}/api/health'
      HttpVerb: 'GET'
      FollowRedirects: false
      ParseDependentRequests: false
      Headers: [
        {
          key: 'x-functions-key'
          value: healthProbeKey
        }
      ]
    }
    ValidationRules: {
      ExpectedHttpStatusCode: 200
      SSLCheck: true
    }
  }
}

resource unwell 'Microsoft.Insights/metricAlerts@2018-03-01' = if (!empty(healthProbeKey)) {
  name: 'unwell-${token}'
  location: 'global'
  tags: tags
  properties: {
    description: 'The app is not well: entries wait though slots are free, or another reason of /api/health'
    severity: 1
    enabled: true
    scopes: [
      probe.id
      applicationInsightsId
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.WebtestLocationAvailabilityCriteria'
      webTestId: probe.id
      componentId: applicationInsightsId
      failedLocationCount: 2
    }
    actions: [for receiver in receivers: {
      actionGroupId: receiver
    }]
  }
}
