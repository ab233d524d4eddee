# What docs/composer.md asks for: terraform -chdir=infra output -raw NAME

output "project" {
  description = "The project."
  value       = var.project
}

output "region" {
  description = "The region of the cluster, of Composer and of the registry."
  value       = var.region
}

output "namespace" {
  description = "Kubernetes namespace of the steps' pods and of the website: MENAGERIE_NAMESPACE."
  value       = var.namespace
}

output "cluster" {
  description = "Name of the cluster."
  value       = google_container_cluster.main.name
}

output "composer" {
  description = "Name of the Composer environment."
  value       = google_composer_environment.main.name
}

output "airflow" {
  description = "Address of Airflow's web server."
  value       = google_composer_environment.main.config[0].airflow_uri
}

output "dags_bucket" {
  description = "Bucket of the Composer environment, with dags/ and plugins/."
  value       = local.dags_bucket
}

output "buckets" {
  description = "What the names of the four buckets begin with, as a URI: MENAGERIE_BUCKETS."
  value       = local.composer_variables["MENAGERIE_BUCKETS"]
}

output "repository" {
  description = "The image repository."
  value       = local.repository
}

output "build_staging" {
  description = "Where a submitted build puts its source."
  value       = "${google_storage_bucket.builds.url}/source"
}

output "build_substitutions" {
  description = "What cloudbuild.yaml is told of this environment, as gcloud builds submit wants it."
  value       = join(",", [for name, value in local.build_substitutions : "${name}=${value}"])
}

output "kubernetes" {
  description = "Namespace, service accounts and the Roles of deploy and of Airflow: kubectl apply --server-side --field-manager=menagerie-infra -f -"
  value = join("", concat([for name in ["namespace", "website", "coordinator"] : templatefile("${path.module}/kubernetes/${name}.yaml", {
    namespace    = var.namespace
    emails       = local.emails
    coordinators = [local.emails["menagerie-composer"], google_service_account.account["menagerie-composer"].unique_id]
  })], [local.access]))
}

output "site_dns" {
  description = "The record that proves the host name to be yours, for its certificate; then point the host at the Gateway's address. Empty without a public host."
  value       = [for authorization in google_certificate_manager_dns_authorization.site : authorization.dns_resource_record[0]]
}
