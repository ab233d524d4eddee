# Who may do what. Every pod has the account of its step, and every account the least that its step needs.

resource "google_service_account" "account" {
  for_each = local.accounts

  account_id   = each.key
  display_name = each.value

  depends_on = [google_project_service.api]
}

# Workload Identity: the Kubernetes service account of the same name acts as the Google account. The pool is the cluster's.
resource "google_service_account_iam_member" "workload_identity" {
  for_each = toset(local.workloads)

  service_account_id = google_service_account.account[each.value].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project}.svc.id.goog[${var.namespace}/${each.value}]"

  depends_on = [google_container_cluster.main]
}

locals {
  # Bucket → account → role. objectUser reads, writes and deletes; every write of ours carries a precondition.
  bucket_roles = {
    "animals_all/menagerie-step"           = "roles/storage.objectViewer" # originals are never changed; see quarantine
    "animals_to_predict/menagerie-step"    = "roles/storage.objectUser"
    "animals_predicted/menagerie-step"     = "roles/storage.objectUser"
    "animals_models/menagerie-step"        = "roles/storage.objectUser"   # also what DVC keeps, below dvc/
    "animals_models/menagerie-deploy"      = "roles/storage.objectViewer" # models and self-tests; see deploy_writes
    "animals_models/animals-website"       = "roles/storage.objectViewer"
    "animals_models/menagerie-composer"    = "roles/storage.objectViewer" # results and the champion pointer
    "animals_predicted/menagerie-composer" = "roles/storage.objectViewer" # metrics
    "animals_predicted/animals-website"    = "roles/storage.objectViewer" # reports
  }

  # What may be written in a bucket that may otherwise only be read, as prefixes of object names.
  write_prefixes = {
    quarantine = { bucket = "animals_all", account = "menagerie-step", prefixes = ["_quarantine/", "_held/"] }
    # the pointer, which goes back when a rollout fails, and the step's result
    deploy_writes = { bucket = "animals_models", account = "menagerie-deploy", prefixes = ["resnet34/champion.json", "runs/"] }
  }
}

resource "google_storage_bucket_iam_member" "data" {
  for_each = local.bucket_roles

  bucket = google_storage_bucket.data[split("/", each.key)[0]].name
  role   = each.value
  member = google_service_account.account[split("/", each.key)[1]].member
}

# `deploy --teardown` removes the website's Kubernetes account and with it the tie to its Google account; the next deploy makes it
# anew, without. So the Kubernetes account may read models and reports by itself, too.
resource "google_storage_bucket_iam_member" "website" {
  for_each = toset(["animals_models", "animals_predicted"])

  bucket = google_storage_bucket.data[each.value].name
  role   = "roles/storage.objectViewer"
  member = "principal://iam.googleapis.com/projects/${data.google_project.this.number}/locations/global/workloadIdentityPools/${var.project}.svc.id.goog/subject/ns/${var.namespace}/sa/animals-website"

  depends_on = [google_container_cluster.main]
}

moved {
  from = google_storage_bucket_iam_member.website
  to   = google_storage_bucket_iam_member.website["animals_models"]
}

resource "google_storage_bucket_iam_member" "prefix" {
  for_each = local.write_prefixes

  bucket = google_storage_bucket.data[each.value.bucket].name
  role   = "roles/storage.objectUser"
  member = google_service_account.account[each.value.account].member

  condition {
    title       = each.key
    description = "Only ${join(" and ", each.value.prefixes)}"
    expression = join(" || ", [
      for prefix in each.value.prefixes :
      "resource.name.startsWith(\"projects/_/buckets/${local.buckets[each.value.bucket]}/objects/${prefix}\")"
    ])
  }
}

# Nodes: logs, metrics, and nothing of the project's data.
resource "google_project_iam_member" "nodes" {
  project = var.project
  role    = "roles/container.defaultNodeServiceAccount"
  member  = google_service_account.account["menagerie-nodes"].member
}

# Composer's own work (Google's role for it reaches every bucket of the project: one more reason for a project an environment), and the way to the cluster; what it may do in there is the Role of infra/kubernetes/coordinator.yaml.
resource "google_project_iam_custom_role" "coordinator" {
  role_id     = "menagerieCoordinator"
  title       = "Menagerie coordinator"
  description = "Finds the cluster and connects to it; rights inside come from Kubernetes RBAC"
  permissions = ["container.clusters.connect", "container.clusters.get"]
}

resource "google_project_iam_member" "composer" {
  for_each = {
    worker      = "roles/composer.worker"
    coordinator = google_project_iam_custom_role.coordinator.name
  }

  project = var.project
  role    = each.value
  member  = google_service_account.account["menagerie-composer"].member
}
