"""Checks the chart with Helm itself: lints and renders it, and holds the manifests against Kubernetes' schemas.

    check.py CHART render VALUES.yaml    lint and render with these values, and check every manifest
    check.py CHART refuse VALUES.yaml    change one value at a time and expect each mistake to be refused by name

Needs the packages of tests/requirements.txt. No cluster is asked.
"""

import copy
import pathlib
import sys

import helm_python
import kubernetes_validate
import yaml

KUBERNETES = ["1.28", "1.32", "1.37"]
CUSTOM_RESOURCES = {"ServiceMonitor", "PrometheusRule"}
NAMESPACE = "parcels"

MISTAKES = [
    ("an unknown key", "platform.replica", 2, "replica"),
    ("an unknown key at the top", "plattform", {}, "plattform"),
    ("text for a number", "platform.replicas", "two", "replicas"),
    ("a number for text", "telemetry.logFormat", 1, "logFormat"),
    ("an unknown kind of timers", "timers.kind", "etcd", "kind"),
    ("more frames than the contract allows", "worker.capacity", 257, "capacity"),
    ("a secret as a value", "database.url", "postgres://user:password@host/db", "url"),
    ("a digest that is none", "platform.image.digest", "latest", "digest"),
    ("a setting outside its section", "platform.settings", {"DATABASE": "x"}, "DATABASE"),
    ("no image", "platform.image.repository", "", "platform.image.repository is empty"),
    ("no database", "database.existingSecret", "", "database.existingSecret is empty: name a Secret"),
    ("no master key", "faces.existingSecret", "", "faces.existingSecret is empty: name a Secret"),
    ("no Redis", "timers.existingSecret", "", "timers.existingSecret is empty: name a Secret"),
    ("no TLS and no word about it", "tls.existingSecret", "", "tls.existingSecret is empty: name a Secret"),
    ("TLS that the workers cannot verify", "tls.caKey", "", "tls.caKey is empty: name the key"),
    ("TLS and none at once", "tls.insecure", True, "contradict each other"),
    ("no key for the workers", "worker.existingSecret", "", "worker.existingSecret is empty: name a Secret"),
    ("required certificates that nobody verifies", "tls.clients.certificates", "required", "tls.clients.existingSecret is empty"),
    (
        "required certificates and workers without",
        "",
        {"tls.clients.certificates": "required", "tls.clients.existingSecret": "clients"},
        "worker.certificate.existingSecret is empty",
    ),
    ("an issuer for nobody", "oidc.issuer", "https://id.example.org", "oidc.issuer needs oidc.audience"),
    ("an issuer in plain text", "oidc.issuer", "http://id.example.org", "issuer"),
    ("a role with a courier's scope", "oidc.roles", [{"name": "desk", "scopes": ["announce"]}], "scopes"),
    ("no models", "worker.models.inImage", False, "worker.models.existingClaim is empty"),
    ("a setting with a value of its own", "platform.settings", {"GATEPOST_DATABASE__URL": "x"}, "GATEPOST_DATABASE__URL"),
    ("several replicas with embedded timers", "", {"timers.kind": "embedded", "platform.replicas": 2}, "one replica"),
]


class Problems:
    """Collects what is wrong, so that one run tells all of it."""

    def __init__(self):
        self.found = []

    def expect(self, right, message):
        if not right:
            self.found.append(message)

    def end(self, summary):
        for message in self.found:
            print(f"FAILED {message}")
        if self.found:
            sys.exit(1)
        print(f"ok {summary}")


def render(chart, values):
    with helm_python.Chart.load(chart) as loaded:
        return loaded.render(values, name="test", namespace=NAMESPACE)


def manifests(rendered):
    for path, text in rendered.items():
        if path.endswith(".txt"):
            continue
        for manifest in yaml.safe_load_all(text):
            if manifest:
                yield path, manifest


def pod_template(manifest):
    return manifest["spec"]["template"] if manifest["kind"] in ("Deployment", "Job") else None


def check_pod(name, template, accounts, problems):
    spec = template["spec"]
    problems.expect(spec["serviceAccountName"] in accounts, f"{name}: its service account is not in the chart")
    problems.expect(spec.get("automountServiceAccountToken") is False, f"{name}: mounts a service account token")
    security = spec["securityContext"]
    problems.expect(security["runAsNonRoot"] is True, f"{name}: may run as root")
    problems.expect(security["seccompProfile"]["type"] == "RuntimeDefault", f"{name}: has no seccomp profile")
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    for container in spec["containers"]:
        security = container["securityContext"]
        problems.expect(security["allowPrivilegeEscalation"] is False, f"{name}: may gain privileges")
        problems.expect(security["readOnlyRootFilesystem"] is True, f"{name}: may write its root")
        problems.expect(security["capabilities"] == {"drop": ["ALL"]}, f"{name}: keeps capabilities")
        problems.expect("limits" in container["resources"], f"{name}: has no limits")
        mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
        problems.expect(mounts == volumes, f"{name}: mounts {mounts} of {volumes}")
        names = [variable["name"] for variable in container.get("env", [])]
        problems.expect(len(names) == len(set(names)), f"{name}: a variable is set twice")
        for variable in container.get("env", []):
            secret = any(word in variable["name"] for word in ("URL", "SECRET", "PASSWORD"))
            problems.expect(not secret or "value" not in variable, f"{name}: {variable['name']} stands in the manifest")
            problems.expect(
                "value" not in variable or isinstance(variable["value"], str), f"{name}: {variable['name']} is no text"
            )


def check_together(all_manifests, problems):
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in all_manifests]
    problems.expect(len(names) == len(set(names)), f"two manifests of one name: {names}")
    templates = {m["metadata"]["name"]: pod_template(m) for m in all_manifests if pod_template(m)}
    accounts = {name for kind, name in names if kind == "ServiceAccount"}
    for name, template in templates.items():
        check_pod(name, template, accounts, problems)
    pods = [template["metadata"]["labels"].items() for template in templates.values()]
    for manifest in all_manifests:
        kind, name, spec = manifest["kind"], manifest["metadata"]["name"], manifest.get("spec", {})
        selector = {
            "Service": lambda: spec["selector"],
            "Deployment": lambda: spec["selector"]["matchLabels"],
            "PodDisruptionBudget": lambda: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda: spec["podSelector"]["matchLabels"],
        }.get(kind)
        if selector:
            chosen = [labels for labels in pods if selector().items() <= labels]
            everything = kind == "NetworkPolicy" and name.endswith("-deny")
            problems.expect(len(chosen) == (len(pods) if everything else 1), f"{kind} {name} selects {len(chosen)} pods")
        problems.expect(kind != "Secret", f"{name}: secrets exist already, the chart makes none")


def check_purpose(file, by_name, problems):
    """What each values file is there to show."""
    shown = pathlib.Path(file).stem
    platform = next(m for m in by_name.values() if m["kind"] == "Deployment" and m["metadata"]["name"].endswith("platform"))
    container = platform["spec"]["template"]["spec"]["containers"][0]
    environment = {variable["name"]: variable for variable in container["env"]}
    if shown == "minimal":
        problems.expect("GATEPOST_TLS__KEY" in environment and "--insecure" not in container["args"], "TLS is not on")
        problems.expect("httpGet" in container["livenessProbe"], "the kubelet cannot probe gRPC behind TLS")
        problems.expect(environment["GATEPOST_DATABASE__URL"]["valueFrom"]["secretKeyRef"]["name"] == "gatepost-postgresql", "database")
        hooks = [m for m in by_name.values() if "helm.sh/hook" in m["metadata"].get("annotations", {})]
        problems.expect({m["kind"] for m in hooks} == {"ServiceAccount", "Job"}, "the migration is a hook with its account")
    if shown == "identity":
        roles = '[{name="chief"},{name="parcel-desk",scopes=["read","manage"],community="lotus-garden"}]'
        problems.expect(environment["GATEPOST_OIDC__ROLES"]["value"] == roles, environment["GATEPOST_OIDC__ROLES"])
        problems.expect(environment["GATEPOST_TLS__CLIENT_CERTIFICATES"]["value"] == "required", "certificates are not required")
        volumes = {volume["name"]: volume["secret"] for volume in platform["spec"]["template"]["spec"]["volumes"] if "secret" in volume}
        paths = {(item["key"], item["path"]) for item in volumes["clients"]["items"]}
        problems.expect(paths == {("bundle.pem", "ca.crt"), ("revoked.pem", "ca.crl")}, f"files are {paths}")
        worker = by_name["Deployment", "test-gatepost-vision-worker"]["spec"]["template"]["spec"]["containers"][0]
        arguments = " ".join(worker["args"])
        problems.expect("--replicas=test-gatepost-platform-headless:50051" in arguments, f"the worker is told {arguments}")
        problems.expect("--certificate=" in arguments and "--key-file" not in arguments, f"the worker is told {arguments}")
        ports = [port["port"] for rule in by_name["NetworkPolicy", "test-gatepost-platform"]["spec"]["egress"] for port in rule["ports"]]
        problems.expect(8443 in ports, f"the identity provider is out of reach: {ports}")
    if shown == "gpu":
        worker = by_name["Deployment", "test-gatepost-vision-worker"]["spec"]["template"]["spec"]
        limits = worker["containers"][0]["resources"]["limits"]
        problems.expect(limits["nvidia.com/gpu"] == 1 and "memory" in limits, f"limits are {limits}")
        problems.expect(worker["runtimeClassName"] == "nvidia" and worker["tolerations"], "no way onto a GPU node")
        arguments = worker["containers"][0]["args"]
        told = {"--device=cuda", "--decoding=device"} <= set(arguments)
        problems.expect(told, f"the worker is not told of the GPU: {arguments}")
        told = "--platform=http://gatepost-0.lockers:50051,http://gatepost-1.lockers"
        problems.expect(told in worker["containers"][0]["args"], "the worker is not told of both platforms")
        ports = by_name["NetworkPolicy", "test-gatepost-vision-worker"]["spec"]["egress"][1]
        ports = {port["port"] for port in ports["ports"]}
        problems.expect(ports == {50051, 80}, f"the platforms are out of the worker's reach: {ports}")
        problems.expect(container["readinessProbe"]["grpc"] == {"port": 50051}, "no native gRPC probe")
        problems.expect("@sha256:" in container["image"], "the digest is not used")
        services = [m for m in by_name.values() if m["kind"] == "Service" and "platform" in m["metadata"]["name"]]
        protocols = {port["appProtocol"] for m in services for port in m["spec"]["ports"] if port["name"] == "grpc"}
        problems.expect(protocols == {"kubernetes.io/h2c"}, f"protocols are {protocols}")
    if shown == "monitoring":
        monitor = by_name["ServiceMonitor", "doorstep"]["spec"]["selector"]["matchLabels"].items()
        watched = [m for m in by_name.values() if m["kind"] == "Service" and monitor <= m["metadata"]["labels"].items()]
        problems.expect(len(watched) == 1, f"the monitor watches {len(watched)} services")
        for rule in by_name["PrometheusRule", "doorstep"]["spec"]["groups"][0]["rules"]:
            problems.expect("gatepost_" in rule["expr"] and rule["annotations"]["summary"], f"{rule['alert']} says nothing")
        problems.expect(platform["spec"]["strategy"] == {"type": "Recreate"}, "two processes keep embedded timers")
        problems.expect(not any("vision-worker" in name for _, name in by_name), "a worker is rendered")


def check_render(chart, file):
    problems = Problems()
    values = read(file)
    report = helm_python.lint(chart, values, strict=True, namespace=NAMESPACE)
    findings = report["errors"] + [m["error"] for m in report["messages"] if m["severity"] >= 2]
    problems.expect(not findings, f"lint: {findings}")
    rendered = render(chart, values)
    notes = [text for path, text in rendered.items() if path.endswith("NOTES.txt")]
    problems.expect(all("admin.key" in text for text in notes), "the notes do not tell the next step")
    found = list(manifests(rendered))
    for path, manifest in found:
        if manifest["kind"] in CUSTOM_RESOURCES:
            continue
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                where = ".".join(str(part) for part in error.path)
                problems.expect(False, f"{path} on Kubernetes {version}: {where}: {error.message}")
    check_together([manifest for _, manifest in found], problems)
    check_purpose(file, {(m["kind"], m["metadata"]["name"]): m for _, m in found}, problems)
    problems.end(f"{len(found)} manifests on Kubernetes {', '.join(KUBERNETES)}")


def check_refuse(chart, file):
    problems = Problems()
    right = read(file)
    render(chart, right)
    for what, path, value, expected in MISTAKES:
        wrong = copy.deepcopy(right)
        for key, part in (value if path == "" else {path: value}).items():
            put(wrong, key.split("."), part)
        try:
            render(chart, wrong)
            problems.expect(False, f"{what} was rendered")
        except helm_python.HelmError as error:
            problems.expect(expected in str(error), f"{what}: {error}")
    problems.end(f"{len(MISTAKES)} mistakes are refused by name")


def put(values, path, value):
    for key in path[:-1]:
        values = values.setdefault(key, {})
    values[path[-1]] = value


def read(file):
    with open(file, encoding="utf-8") as stream:
        return yaml.safe_load(stream)


if __name__ == "__main__":
    CHECKS = {"render": check_render, "refuse": check_refuse}
    if len(sys.argv) != 4 or sys.argv[2] not in CHECKS:
        sys.exit(__doc__)
    CHECKS[sys.argv[2]](sys.argv[1], sys.argv[3])
