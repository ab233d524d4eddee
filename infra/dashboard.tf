# One page: runs, accuracy, the website, what went wrong.

locals {
  pod_filter = "resource.type = \"k8s_container\" AND resource.labels.namespace_name = \"${var.namespace}\""
  runs       = "resource.type = \"cloud_composer_workflow\" AND resource.labels.environment_name = \"${var.name}\""

  # title → the series shown: its filter, how points are aligned and series brought together, and by what they are split
  charts = {
    "Runs by state"                      = { filter = "metric.type = \"composer.googleapis.com/workflow/run_count\" AND ${local.runs}", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", split = ["metric.labels.state"] }
    "Duration of runs (s)"               = { filter = "metric.type = \"composer.googleapis.com/workflow/run_duration\" AND ${local.runs}", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", split = ["resource.labels.workflow_name"] }
    "Accuracy on new pictures"           = { filter = "metric.type = \"logging.googleapis.com/user/${local.accuracy_metric}\" AND resource.type = \"k8s_container\"", aligner = "ALIGN_PERCENTILE_50", reducer = "REDUCE_MEAN", split = [] }
    "Memory of pods (bytes)"             = { filter = "metric.type = \"kubernetes.io/container/memory/used_bytes\" AND ${local.pod_filter} AND metric.labels.memory_type = \"non-evictable\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", split = ["resource.labels.pod_name"] }
    "CPU of pods (cores)"                = { filter = "metric.type = \"kubernetes.io/container/cpu/core_usage_time\" AND ${local.pod_filter}", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", split = ["resource.labels.pod_name"] }
    "Restarts of containers"             = { filter = "metric.type = \"kubernetes.io/container/restart_count\" AND ${local.pod_filter}", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", split = ["resource.labels.pod_name"] }
    "Objects in the buckets"             = { filter = "metric.type = \"storage.googleapis.com/storage/v2/total_count\" AND resource.type = \"gcs_bucket\" AND resource.labels.bucket_name = monitoring.regex.full_match(\"${join("|", values(local.buckets))}\")", aligner = "ALIGN_MEAN", reducer = "REDUCE_SUM", split = ["resource.labels.bucket_name"] }
    "Health of the Composer environment" = { filter = "metric.type = \"composer.googleapis.com/environment/healthy\" AND resource.type = \"cloud_composer_environment\" AND resource.labels.environment_name = \"${var.name}\"", aligner = "ALIGN_FRACTION_TRUE", reducer = "REDUCE_MEAN", split = [] }
  }
  chart_titles = keys(local.charts)

  dashboard = {
    displayName = "Menagerie ${var.environment}"
    mosaicLayout = {
      columns = 48
      tiles = concat([for index, title in local.chart_titles : {
        xPos = index % 2 * 24, yPos = floor(index / 2) * 16, width = 24, height = 16
        widget = {
          title = title
          xyChart = {
            dataSets = [{
              plotType = "LINE"
              timeSeriesQuery = {
                timeSeriesFilter = {
                  filter = local.charts[title].filter
                  aggregation = {
                    alignmentPeriod    = "300s"
                    perSeriesAligner   = local.charts[title].aligner
                    crossSeriesReducer = local.charts[title].reducer
                    groupByFields      = local.charts[title].split
                  }
                }
              }
            }]
          }
        }
        }], [{
        xPos = 0, yPos = ceil(length(local.chart_titles) / 2) * 16, width = 48, height = 16
        widget = {
          title = "The website's ready pods"
          xyChart = {
            dataSets = [{
              plotType = "LINE"
              timeSeriesQuery = {
                prometheusQuery = "kube_deployment_status_replicas_available{cluster=\"${var.name}\",namespace=\"${var.namespace}\"}"
              }
            }]
          }
        }
        }, {
        xPos = 0, yPos = (ceil(length(local.chart_titles) / 2) + 1) * 16, width = 48, height = 16
        widget = {
          title = "Errors of the pods"
          logsPanel = {
            filter        = "${local.pod_filter} AND severity>=ERROR"
            resourceNames = ["projects/${var.project}"]
          }
        }
      }])
    }
  }
}

resource "google_monitoring_dashboard" "main" {
  dashboard_json = jsonencode(local.dashboard)

  depends_on = [google_project_service.api, google_logging_metric.accuracy]
}
