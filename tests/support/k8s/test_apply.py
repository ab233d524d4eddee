"""Server-side apply and access control of the test cluster, as lightkube and the official client ask for them."""

from __future__ import annotations

import copy
import json
from typing import Any

import kubernetes.client
import pytest

from tests.support.k8s.cluster import Cluster
from tests.support.k8s.documents import deployment
from tests.support.k8s.errors import Json

PATH = "/apis/apps/v1/namespaces/menagerie/deployments/site"


@pytest.fixture
def apply(core: Any, cluster: Cluster) -> Any:
    """Apply a document as `manager`; gives the status and the object or the Status document."""

    def apply(document: Json, manager: str = "menagerie", token: str = "", **params: str) -> tuple[int, Json]:
        headers = {"Content-Type": "application/apply-patch+yaml", "Authorization": f"Bearer {token or cluster.token}"}
        query = {"fieldManager": manager, **params}
        url = cluster.url + PATH + "?" + "&".join(f"{k}={v}" for k, v in query.items() if v)
        answer = core.api_client.rest_client.pool_manager.request("PATCH", url, json.dumps(document), headers=headers)
        return answer.status, json.loads(answer.data)

    return apply


def idle(text: str = "one") -> Json:
    """A Deployment without pods."""
    return deployment(text, replicas=0)


def without(document: Json, *names: str) -> Json:
    document = copy.deepcopy(document)
    for name in names:
        del document["spec"][name]
    return document


def test_the_first_apply_creates_and_the_same_again_changes_nothing(apply: Any) -> None:
    status, made = apply(idle())
    assert status == 201
    [entry] = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("menagerie", "Apply", "apps/v1")
    assert entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"site"}']["f:image"] == {}
    assert "f:revisionHistoryLimit" not in entry["fieldsV1"]["f:spec"]  # defaults are nobody's
    _, first = apply(idle())
    status, second = apply(idle())
    assert (status, second["metadata"]["resourceVersion"]) == (200, first["metadata"]["resourceVersion"])


def test_a_field_that_is_no_longer_applied_goes_away(apply: Any) -> None:
    wanted = idle()
    wanted["metadata"]["annotations"] = {"a": "1", "b": "2"}
    apply(wanted)
    del wanted["metadata"]["annotations"]["b"]
    assert "b" not in apply(wanted)[1]["metadata"]["annotations"]
    wanted["spec"]["minReadySeconds"] = 5
    apply(wanted)
    assert "minReadySeconds" not in apply(without(wanted, "minReadySeconds"))[1]["spec"]


def test_another_managers_field_conflicts_unless_forced(apply: Any, apps: Any) -> None:
    apply(idle())
    apps.patch_namespaced_deployment("site", "menagerie", {"spec": {"replicas": 0, "minReadySeconds": 9}})
    other = idle()
    other["spec"]["minReadySeconds"] = 5
    status, refusal = apply(other)
    assert (status, refusal["reason"]) == (409, "Conflict")
    [cause] = refusal["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("FieldManagerConflict", ".spec.minReadySeconds")
    assert 'conflict with "OpenAPI-Generator" using apps/v1' in cause["message"]
    status, forced = apply(other, force="true")
    assert (status, forced["spec"]["minReadySeconds"]) == (200, 5)


def test_a_field_given_up_stays_while_another_manager_owns_it(apply: Any) -> None:
    apply(idle())
    assert apply(idle(), "autoscaler")[0] == 200  # the same values: shared, no conflict
    _, after = apply(without(idle(), "replicas"))
    assert after["spec"]["replicas"] == 0
    owners = {e["manager"]: "f:replicas" in e["fieldsV1"]["f:spec"] for e in after["metadata"]["managedFields"]}
    assert owners == {"menagerie": False, "autoscaler": True}


def test_items_of_keyed_lists_are_merged(apply: Any) -> None:
    wanted = idle()
    container = wanted["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    apply(wanted)
    extra = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "site"}}
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "site", "env": [{"name": "C", "value": "3"}]}]}}}}
    assert apply(extra | patch, "other")[0] == 200
    container["env"] = [{"name": "A", "value": "9"}]
    _, after = apply(wanted)
    found = after["spec"]["template"]["spec"]["containers"][0]["env"]
    assert sorted((one["name"], one["value"]) for one in found) == [("A", "9"), ("C", "3")]


def test_what_an_apply_must_have(apply: Any) -> None:
    assert apply(idle(), manager="")[1]["reason"] == "Invalid"
    mistaken = idle()
    mistaken["spec"]["replica"] = 1
    status, refusal = apply(mistaken)
    assert status == 500
    assert "field not declared in schema" in refusal["message"]
    assert apply(idle() | {"kind": "ReplicaSet"})[0] == 400
    apply(idle())
    stale = idle()
    stale["metadata"]["resourceVersion"] = "1"
    assert apply(stale)[0] == 409


def test_a_dry_run_tells_and_changes_nothing(apply: Any, cluster: Cluster) -> None:
    assert apply(idle(), dryRun="All")[0] == 201
    assert cluster.objects("Deployment") == []
    apply(idle())
    before = cluster.objects("Deployment")
    other = idle()
    other["spec"]["minReadySeconds"] = 3
    assert apply(other, dryRun="All")[1]["spec"]["minReadySeconds"] == 3
    assert cluster.objects("Deployment") == before


def test_a_service_account_may_do_what_its_role_says(apply: Any, cluster: Cluster) -> None:
    group = "rbac.authorization.k8s.io"
    rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"], "resourceNames": ["site"]}
    meta = {"name": "deployer"}
    cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": [rule]},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "deployer"},
            "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": "menagerie"}],
        },
    )
    configuration = kubernetes.client.Configuration(host=cluster.url)
    configuration.api_key = {"authorization": f"Bearer {cluster.account_token('deployer')}"}
    with kubernetes.client.ApiClient(configuration) as client:
        reviews = kubernetes.client.AuthorizationV1Api(client)

        def may(verb: str, resource: str, name: str = "") -> bool:
            wanted = {"namespace": "menagerie", "verb": verb, "group": "apps", "resource": resource, "name": name}
            spec = {"resourceAttributes": wanted}
            return bool(reviews.create_self_subject_access_review({"spec": spec}).status.allowed)

        assert may("patch", "deployments", "site")
        assert not may("patch", "deployments", "other")
        assert not may("delete", "deployments", "site")
        assert not may("create", "deployments")
        with pytest.raises(kubernetes.client.ApiException) as forbidden:
            kubernetes.client.CoreV1Api(client).list_namespaced_pod("menagerie")
        assert forbidden.value.status == 403
    status, refusal = apply(idle(), token=cluster.account_token("deployer"))
    assert (status, "cannot create" in refusal["message"]) == (403, True)  # to apply what is not there is to create it
