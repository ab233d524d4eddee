# shellcheck shell=bash
# What the build's steps share: names, and whether this build goes on to Composer. Sourced, in the repository's root.
# In Cloud Build every substitution of cloudbuild.yaml is a variable of the same name; on a laptop none need be set.

# shellcheck disable=SC2034  # used by the scripts that source this
TRAIN=${_REPOSITORY:-menagerie}/train
# shellcheck disable=SC2034
SERVE=${_REPOSITORY:-menagerie}/serve
BUILD=${BUILD_ID:-local}
STATE=.menagerie/build # what one step leaves for the next
mkdir -p "$STATE"

fail() { # say what is wrong and what to do, and end the build
  printf 'build: %s\n' "$@" >&2
  exit 1
}

# Whether this build changes the Composer environment; says why not.
releases() {
  local pushed=${TAG_NAME:-${BRANCH_NAME:-}}
  if [[ -z ${_COMPOSER:-} ]]; then
    echo "no Composer environment is named (_COMPOSER is empty): the images are pushed, nothing else changes"
    return 1
  fi
  case ${_DEPLOY:-auto} in
    always) return 0 ;;
    auto)
      # a submitted build has neither branch nor tag: a person asked for it
      if [[ -z $pushed || (-z ${TAG_NAME:-} && $pushed == "${_BRANCH:-main}") ]]; then return 0; fi
      echo "$pushed is not the branch ${_BRANCH:-main}: the images are pushed, $_COMPOSER stays as it is"
      ;;
    never) echo "_DEPLOY is never: the images are pushed, $_COMPOSER stays as it is" ;;
    *) fail "_DEPLOY is '$_DEPLOY'" "give auto, always or never" ;;
  esac
  return 1
}

# One value of the Composer environment, e.g. `environment config.dagGcsPrefix`.
environment() {
  gcloud composer environments describe "$_COMPOSER" --location="$_REGION" --format="value($1)"
}
