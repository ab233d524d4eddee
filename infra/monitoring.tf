# Who is told of what: a run failed, the website is down, the error is over the threshold, new pictures differ from known ones.

locals {
  accuracy_metric = "menagerie/accuracy"

  # `evaluate` logs its counts as one line of JSON, which GKE's agent reads into jsonPayload; pod labels have _ for a dot.
  evaluations = join("\n", [
    "resource.type=\"k8s_container\"",
    "resource.labels.cluster_name=\"${var.name}\"",
    "resource.labels.namespace_name=\"${var.namespace}\"",
    "labels.\"k8s-pod/menagerie_dev/step\"=\"evaluate\"",
  ])

  # metric → which evaluations it counts, and what is to be done
  evaluation_alerts = {
    error_over_threshold = {
      filter = "jsonPayload.accuracy<${var.least_accuracy}"
      title  = "Error over the threshold"
      text   = "On its newest pictures the champion was right less often than ${var.least_accuracy}. Read the run's report (animals_predicted/<run>/report.html); the run retrains by itself unless its Param *retrain* says never."
    }
    drift = {
      filter = "jsonPayload.new_classes=~\".+\""
      title  = "Drift: classes the champion does not know"
      text   = "Pictures arrived whose labels the champion has never seen: they count as errors until a model is trained with them. Read the run's report and check the labels first: a misspelt file name makes a class too."
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  display_name = each.value
  type         = "email"
  labels       = { email_address = each.value }

  depends_on = [google_project_service.api]
}

locals {
  channels = [for channel in google_monitoring_notification_channel.email : channel.id]
}

resource "google_logging_metric" "evaluation" {
  for_each = local.evaluation_alerts

  name        = "menagerie/${each.key}"
  description = each.value.title
  filter      = "${local.evaluations}\n${each.value.filter}"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }

  depends_on = [google_project_service.api]
}

resource "google_logging_metric" "accuracy" {
  name            = local.accuracy_metric
  description     = "Share of new pictures that the champion got right, an entry an evaluation"
  filter          = "${local.evaluations}\njsonPayload.accuracy>=0"
  value_extractor = "EXTRACT(jsonPayload.accuracy)"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "1"
  }

  bucket_options {
    linear_buckets {
      num_finite_buckets = 100
      width              = 0.01
      offset             = 0
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_monitoring_alert_policy" "evaluation" {
  for_each = local.evaluation_alerts

  display_name          = "Menagerie ${var.environment}: ${each.value.title}"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = each.value.title
    condition_threshold {
      filter          = "resource.type = \"k8s_container\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.evaluation[each.key].name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    content   = each.value.text
    mime_type = "text/markdown"
  }
}

resource "google_monitoring_alert_policy" "run_failed" {
  display_name          = "Menagerie ${var.environment}: a run failed"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "A run of a Menagerie DAG ended as failed"
    condition_threshold {
      filter = join(" AND ", [
        "resource.type = \"cloud_composer_workflow\"",
        "resource.labels.environment_name = \"${var.name}\"",
        "resource.labels.workflow_name = monitoring.regex.full_match(\"animals_pipeline|menagerie_.*\")",
        "metric.type = \"composer.googleapis.com/workflow/run_count\"",
        "metric.labels.state = \"failed\"",
      ])
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_DELTA"
      }
    }
  }

  documentation {
    content   = "The failed task's log ends with the step's error and its remedy; the same stands in animals_models/runs/<run>/<step>.json. Clear the task when the cause is gone: nothing is lost and nothing happens twice."
    mime_type = "text/markdown"
  }

  depends_on = [google_project_service.api]
}

resource "google_monitoring_alert_policy" "site_without_pods" {
  display_name          = "Menagerie ${var.environment}: the website has no ready pod"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "No pod of animals-website is available"
    condition_prometheus_query_language {
      query               = "max(max_over_time(kube_deployment_status_replicas_available{cluster=\"${var.name}\",namespace=\"${var.namespace}\",deployment=\"animals-website\"}[5m])) < 1"
      duration            = "60s"
      evaluation_interval = "60s"
    }
  }

  documentation {
    content   = "docs/composer.md, section Operate, shows what the Deployment says of itself (deploy --status) and how to go back a model (deploy --rollback)."
    mime_type = "text/markdown"
  }

  depends_on = [google_container_cluster.main]
}

resource "google_monitoring_uptime_check_config" "site" {
  count = var.site_host != "" ? 1 : 0

  display_name = "Menagerie ${var.environment}: https://${var.site_host}"
  period       = "60s"
  timeout      = "10s"

  http_check {
    path         = "/readyz"
    port         = 443
    use_ssl      = true
    validate_ssl = true
  }

  monitored_resource {
    type   = "uptime_url"
    labels = { project_id = var.project, host = var.site_host }
  }

  depends_on = [google_project_service.api]
}

resource "google_monitoring_alert_policy" "site_down" {
  count = length(google_monitoring_uptime_check_config.site)

  display_name          = "Menagerie ${var.environment}: the website does not answer"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "https://${var.site_host}/readyz fails from several places"
    condition_threshold {
      filter          = "resource.type = \"uptime_url\" AND metric.type = \"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.labels.check_id = \"${google_monitoring_uptime_check_config.site[count.index].uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "120s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.labels.host"]
      }
      trigger {
        count = 1
      }
    }
  }

  documentation {
    content   = "/readyz answers 503 while no model is served. If the pods are ready, look at the Gateway or Ingress and its certificate (docs/composer.md, Troubleshooting)."
    mime_type = "text/markdown"
  }
}
