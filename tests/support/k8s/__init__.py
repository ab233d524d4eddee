"""A Kubernetes cluster for tests: a real API over HTTP, with pods that are real processes of the model environment.

    from tests.support.k8s.cluster import Cluster

    with Cluster(tmp_path) as cluster:          # Cluster(tmp_path, tls=True, token="…") for https with a CA (cluster.ca, PEM)
        cluster.kubeconfig                      # path of the administrator's; cluster.url and cluster.token say the same
        cluster.apply(manifest_path, {...})     # as the administrator, by server-side apply
        cluster.pods("menagerie.dev/step=train")   # what is there now, as JSON; cluster.objects("Deployment") likewise
        cluster.log(pod)                        # all that its container wrote so far
        cluster.wait(lambda: cluster.pods("app=x"), seconds=30)
        cluster.service_url("animals-website")  # http://127.0.0.1:<port>, the same for the cluster's whole life
        cluster.requests, cluster.asked("POST", "/pods")   # what clients asked: .method, .url, .params, .headers, .data

Namespaces `default` and `menagerie` exist, each with its service account `default` only: as on a real cluster, a pod of
another account, or in another namespace, is refused until a test (or a manifest) makes that account. Pods talk to the API
with the token of their service account, which may do what Roles and RoleBindings allow; the administrator may do anything.

A pod's container runs as a process on this machine, in the repository: `python` is the model environment's, `0.0.0.0` in
its words is its own address (127.x.y.z, all ports free), ConfigMaps and Secrets are files in a folder that takes the place
of their mountPath in its words and environment, HOME and TMPDIR are its own, KUBECONFIG leads to this cluster, and
`http://<service>.<namespace>.svc[.cluster.local][:port]` leads to the Service. Of the test's own environment it gets PATH.

Misfortunes (faults.py): `cluster.fault(kind, labels, times=1, after=0, at_line="", message="", new_template=False)`
    image-pull, unschedulable       the container never starts
    hang, crash                     something runs in its place that never serves, or ends at once
    unready                         its readiness probe fails
    oom, evict, preempt, vanish     `after` seconds from its start, or when it has written `at_line`
    cut-log                         one follower's connection breaks after `after` lines
for the next `times` pods with these labels, or for every pod of a Deployment's next template. `.hits` names the pods struck.
`cluster.strike(pod, "evict")` does it now. `cluster.restart_api(seconds_down)` (or stop_api, start_api) takes the API away,
on the same port and with its state kept; pods go on. `cluster.refuse("GET", "/pods", 500, "InternalError", times=2)`;
`cluster.compact()` makes watches from before get 410 Gone.

The API is strict where the real one is: 409 for a stale resourceVersion or another manager's field, 422 for what is
immutable or amiss, 400 for unknown fields under fieldValidation=Strict (otherwise they are dropped, as by default).
Nothing here is faster than real life but probes (asked every 0.2 s; periods times thresholds still are the patience),
bookmarks (every second) and the first back-off of a crashed container (`backoff`, 1 s).
"""
