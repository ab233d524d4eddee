# What follows from the variables alone: no resource and no data source is named here (tests/infra evaluates this file by itself).

locals {
  labels = { application = "menagerie", environment = var.environment }

  buckets = { for name in ["animals_all", "animals_to_predict", "animals_predicted", "animals_models"] : name => "${var.bucket_prefix}${name}" }

  bucket_location = var.bucket_location != "" ? var.bucket_location : var.region

  # The Google accounts. The first three have a Kubernetes service account of the same name in the namespace.
  accounts = {
    menagerie-step     = "Menagerie: the steps' pods, but for deploy"
    menagerie-deploy   = "Menagerie: the deploy step's pod"
    animals-website    = "Menagerie: the website's pods"
    menagerie-composer = "Menagerie: the Composer environment"
    menagerie-build    = "Menagerie: Cloud Build"
    menagerie-check    = "Menagerie: Cloud Build of pull requests"
    menagerie-nodes    = "Menagerie: the cluster's nodes"
  }
  workloads = ["menagerie-step", "menagerie-deploy", "animals-website"]
  emails    = { for name in keys(local.accounts) : name => "${name}@${var.project}.iam.gserviceaccount.com" }

  # What deploy may do, and the steps' accounts: the shipped rbac.yaml in our namespace, each account tied to the Google account of its
  # name (Workload Identity, identity.tf). As one document, since a second one that is applied by the same field manager takes away what the first one had set.
  shipped = [for text in split("\n---\n", file("${path.module}/../model_service/deploy/manifests/rbac.yaml")) : yamldecode(text)]
  access = join("", [for object in local.shipped : "---\n${yamlencode(merge(object, {
    metadata = merge(object.metadata, { namespace = var.namespace }, {
      for key, annotation in { annotations = { "iam.gke.io/gcp-service-account" = local.emails[object.metadata.name] } } : key => annotation
      if object.kind == "ServiceAccount"
    })
    }, {
    for key in ["subjects"] : key => [for subject in object.subjects : merge(subject, { namespace = var.namespace })]
    if object.kind == "RoleBinding"
  }))}"])

  cluster    = "projects/${var.project}/locations/${var.region}/clusters/${var.name}"
  repository = "${var.region}-docker.pkg.dev/${var.project}/${var.name}"

  # What plugins/menagerie/settings.py reads. MENAGERIE_IMAGE and MENAGERIE_SERVE_IMAGE are the build's to set, by digest.
  composer_variables = { for name, value in {
    MENAGERIE_LAUNCHER         = "gke"
    MENAGERIE_CLUSTER          = local.cluster
    MENAGERIE_CLUSTER_ENDPOINT = var.cluster_endpoint
    MENAGERIE_NAMESPACE        = var.namespace
    MENAGERIE_BUCKETS          = "gs://${var.bucket_prefix}"
    MENAGERIE_REGISTRY         = var.registry_url
    MENAGERIE_REGISTRY_SECRET  = var.registry_secret
    MENAGERIE_REGISTRY_POOL    = var.registry_pool
    MENAGERIE_TRACKING_SECRET  = var.tracking_secret
    MENAGERIE_WEIGHTS          = var.weights
    MENAGERIE_SCHEDULE         = var.schedule
    MENAGERIE_DEFERRABLE       = tostring(var.deferrable)
    MENAGERIE_SPOT             = join(",", var.spot_steps)
    MENAGERIE_PODS             = length(var.pods) > 0 ? jsonencode(var.pods) : ""
    MENAGERIE_SITE_HOST        = var.site_host
    MENAGERIE_SITE_EXPOSE      = var.site_host != "" ? var.site_expose : ""
  } : name => value if value != "" }

  # What a build is told of this environment: cloudbuild.yaml, and infra/build/pullrequest.yaml, which publishes nothing.
  check_substitutions = {
    _REGION     = var.region
    _REPOSITORY = local.repository
  }
  build_substitutions = merge(local.check_substitutions, {
    _COMPOSER      = var.name
    _BRANCH        = var.build_branch
    _SCAN          = var.scan_images ? "yes" : "no"
    _SCAN_LOCATION = try(regex("^(asia|europe)", var.region)[0], "us")
  })

  # composer_requirements.txt as Composer wants it: package → extras and version specifier
  requirements  = compact([for line in split("\n", file("${path.module}/../composer_requirements.txt")) : trimspace(split("#", line)[0])])
  pypi_packages = { for line in local.requirements : lower(regex("^[A-Za-z0-9._-]+", line)) => replace(line, "/^[A-Za-z0-9._-]+\\s*/", "") }

  # CPUs, GB of memory and of storage. Tasks only start pods and wait for them in the triggerer, so workers stay small.
  composer_sizes = {
    small = {
      scheduler     = { count = 1, cpu = 0.5, memory = 2, storage = 1 }
      triggerer     = { count = 1, cpu = 0.5, memory = 1 }
      dag_processor = { count = 1, cpu = 1, memory = 4, storage = 1 }
      web_server    = { cpu = 1, memory = 4, storage = 1 }
      worker        = { least = 1, most = 3, cpu = 0.5, memory = 2, storage = 1 }
    }
    medium = {
      scheduler     = { count = 1, cpu = 1, memory = 4, storage = 2 }
      triggerer     = { count = 1, cpu = 1, memory = 2 }
      dag_processor = { count = 1, cpu = 1, memory = 4, storage = 2 }
      web_server    = { cpu = 1, memory = 4, storage = 2 }
      worker        = { least = 2, most = 6, cpu = 1, memory = 4, storage = 2 }
    }
    large = {
      scheduler     = { count = 2, cpu = 2, memory = 8, storage = 5 }
      triggerer     = { count = 2, cpu = 1, memory = 4 } # two: waiting tasks survive the loss of one
      dag_processor = { count = 1, cpu = 2, memory = 8, storage = 5 }
      web_server    = { cpu = 2, memory = 8, storage = 5 }
      worker        = { least = 3, most = 12, cpu = 2, memory = 8, storage = 5 }
    }
  }
  composer = local.composer_sizes[var.composer_size]
}
