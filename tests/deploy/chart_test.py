"""The Helm chart says what the kustomize overlays say: both are rendered and
their objects compared, field by field."""

import copy
import json
import os
import pathlib
import re
import sys
import tempfile
import unittest

import rendering

ROOT = rendering.ROOT
COMPONENTS = ROOT / "deploy/kubernetes/components"
OVERLAYS = ROOT / "deploy/kubernetes/overlays"
# What Helm says beside kustomize, of every object.
HELMS_LABELS = {"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version",
                "helm.sh/chart"}
READY = (rendering.tool("helm") and rendering.tool("kubectl")
         and (rendering.PACKAGES / "yaml").exists())
WHY_NOT = "no helm, kubectl or .deps/http-clients here; scripts/test fetches them"


def key_of(one):
    return one["kind"], one["metadata"]["name"]


def flags_of(arguments):
    """The last of a kind counts, in the server too."""
    return dict(argument.lstrip("-").split("=", 1) for argument in arguments)


def walk(value, change):
    """Calls `change` with each dictionary, the inner ones first."""
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        walk(inner, change)
    if isinstance(value, dict):
        change(value)


def comparable(one):
    """What is equal if Kubernetes does the same with both."""
    one = copy.deepcopy(one)
    one["metadata"].pop("labels", None)  # test_objects_have_the_labels_of_kustomize

    def change(value):
        for name in HELMS_LABELS:
            value.pop(name, None)
        for name in ("volumes", "volumeMounts", "env"):
            if name in value:
                value[name] = sorted(value[name], key=lambda item: item["name"])
        if value.get("name") == "zeroshot" and "args" in value:
            value["args"] = flags_of(value["args"])
        if "query" in value:
            value["query"] = " ".join(value["query"].split())
    walk(one, change)
    return one


def overlay(name, *components):
    """What kustomize makes of an overlay with more components than it has."""
    if not components:
        return rendering.objects_in(rendering.kustomized(OVERLAYS / name))
    with tempfile.TemporaryDirectory(dir=OVERLAYS.parent) as folder:
        text = (f"namespace: zeroshot\nresources: [../overlays/{name}]\n"
                f"components: [{', '.join('../components/' + one for one in components)}]\n")
        pathlib.Path(folder, "kustomization.yaml").write_text(text)
        return rendering.objects_in(rendering.kustomized(folder))


def chart(*arguments, **options):
    return rendering.objects_in(rendering.templated(*arguments, **options))


def one_of(objects, kind, name="zeroshot"):
    found, = [one for one in objects if key_of(one) == (kind, name)]
    return found


def server_of(objects, name="zeroshot"):
    container, = one_of(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"]
    return container


PRODUCTION = ("-f", rendering.CHART / "values-production.yaml")
INGRESS = ("--set", "ingress.http.host=zeroshot.example,ingress.http.tlsSecret=zeroshot-example-tls,"
           "ingress.grpc.host=grpc.zeroshot.example,ingress.grpc.tlsSecret=zeroshot-example-tls")
# Each: overlay and components of kustomize, values of the chart.
SAME = (
    (("cpu",), ()),
    (("gpu",), ("--set", "device=cuda")),
    (("production",), PRODUCTION),
    (("production", "keda"), PRODUCTION + ("--set", "autoscaling.kind=keda")),
    (("cpu", "ingress"), INGRESS),
    (("cpu", "model-volume"), ("--set", "model.source=volume")),
    (("cpu", "service-monitor"), ("--set", "monitoring.serviceMonitor.enabled=true")),
    (("gpu", "model-volume"), ("--set", "device=cuda,model.source=volume")),
)


@unittest.skipUnless(READY, WHY_NOT)
class SameAsKustomize(unittest.TestCase):
    maxDiff = None

    def rendered(self, overlay_and_components, arguments):
        # Helm makes no namespace; the chart's README says how it is to be labelled.
        return ({key_of(one): one for one in overlay(*overlay_and_components) if one["kind"] != "Namespace"},
                {key_of(one): one for one in chart(*arguments)})

    def test_overlays_and_values_give_equal_objects(self):
        for names, arguments in SAME:
            with self.subTest(overlay=names):
                ours, helms = self.rendered(names, arguments)
                self.assertEqual(sorted(ours), sorted(helms))
                for key, one in ours.items():
                    self.assertEqual(comparable(one), comparable(helms[key]), key)

    def test_objects_have_the_labels_of_kustomize(self):
        ours, helms = self.rendered(("production", "ingress"), PRODUCTION + INGRESS)
        for key, one in ours.items():
            labels = helms[key]["metadata"]["labels"]
            self.assertLessEqual(set(one["metadata"].get("labels", {}).items()), set(labels.items()), key)
            self.assertLessEqual(HELMS_LABELS, set(labels), key)


@unittest.skipUnless(READY, WHY_NOT)
class Values(unittest.TestCase):
    def test_two_releases_of_a_namespace_do_not_mix(self):
        every = PRODUCTION + INGRESS + ("--set", "networkPolicy.denyAll=false")
        both = [chart(*every, release=name) for name in ("zeroshot-a", "b")]
        self.assertFalse({key_of(one) for one in both[0]} & {key_of(one) for one in both[1]})
        for objects, release in zip(both, ("zeroshot-a", "b")):
            seen = []
            for one in objects:
                walk(one, lambda value: seen.append(value)  # pylint: disable=cell-var-from-loop
                     if "app.kubernetes.io/name" in value else None)
                if one["kind"] == "Service":
                    seen.append(one["spec"]["selector"])
            self.assertGreater(len(seen), 20)
            for labels in seen:
                self.assertEqual(labels["app.kubernetes.io/instance"], release)

    def test_the_pod_is_given_the_time_to_drain(self):
        objects = chart("--set", "drain.preStopSeconds=7,drain.graceSeconds=11,drain.timeoutSeconds=100")
        pod = one_of(objects, "Deployment")["spec"]["template"]["spec"]
        self.assertEqual(pod["terminationGracePeriodSeconds"], 128)
        flags = flags_of(server_of(objects)["args"])
        self.assertEqual((flags["drain_grace"], flags["drain_timeout"]), ("11s", "100s"))
        self.assertEqual(server_of(objects)["lifecycle"]["preStop"], {"sleep": {"seconds": 7}})

    def test_flags_reach_the_server_as_they_are(self):
        with tempfile.TemporaryDirectory() as folder:
            values = pathlib.Path(folder, "values.yaml")
            values.write_text("flags: {memory_store_bytes: 1073741824, image_formats: 'jpeg,png', fast_decode: true,\n"
                              "        max_inflight: null, otlp: 0.25, threads: 3}\n")
            flags = flags_of(server_of(chart("-f", values))["args"])
        self.assertEqual(flags["memory_store_bytes"], "1073741824")
        self.assertEqual(flags["image_formats"], "jpeg,png")
        self.assertEqual(flags["fast_decode"], "true")
        self.assertEqual(flags["otlp"], "0.25")
        self.assertEqual(flags["threads"], "3")
        self.assertNotIn("max_inflight", flags)

    def test_flags_of_the_defaults_are_flags_that_the_server_has(self):
        known = set(re.findall(r"flags->[A-Z]\w+\(\s*\"(\w+)\",", (ROOT / "server/option_flags.cc").read_text()))
        schema = json.loads((rendering.CHART / "values.schema.json").read_text())
        named = set(schema["definitions"]["flags"]["propertyNames"]["not"]["enum"])
        self.assertLessEqual(named, known)
        for arguments in ((), ("--set", "device=cuda"), PRODUCTION,
                          ("--set", "tls.enabled=true,tls.clientCa=true,tokensSecret=callers,http.enabled=false")):
            flags = set(flags_of(server_of(chart(*arguments))["args"]))
            self.assertLessEqual(flags, known)
            # A value of its own is the only way to each of these.
            self.assertLessEqual(flags & {"device", "model", "tls_cert", "auth_tokens", "http_listen"}, named)

    def test_without_http_nothing_speaks_of_it(self):
        objects = chart("--set", "http.enabled=false,networkPolicy.enabled=true")
        self.assertEqual(flags_of(server_of(objects)["args"])["http_listen"], "")
        for one in objects:
            walk(one, lambda value: self.assertNotIn("http", (value.get("name"), value.get("port"))))

    def test_callers_certificates_and_tokens_come_from_secrets(self):
        objects = chart("--set", "tls.enabled=true,tls.secret=mine,tls.clientCa=true,tokensSecret=callers")
        container = server_of(objects)
        flags = flags_of(container["args"])
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume["secret"]["secretName"] for volume in
                   one_of(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]}
        for flag, secret in (("tls_cert", "mine"), ("tls_client_ca", "mine"), ("auth_tokens", "callers")):
            mount = mounts[os.path.dirname(flags[flag])]
            self.assertTrue(mount["readOnly"])
            self.assertEqual(volumes[mount["name"]], secret)

    def test_someone_elses_redis_is_only_called(self):
        objects = chart("--set", "redis.enabled=true,redis.own=false,redis.secret=mine,networkPolicy.enabled=true")
        self.assertNotIn(("Deployment", "zeroshot-redis"), [key_of(one) for one in objects])
        url, = [one for one in server_of(objects)["env"] if one["name"] == "ZEROSHOT_REDIS"]
        self.assertEqual(url["valueFrom"]["secretKeyRef"], {"name": "mine", "key": "url"})

    def test_alerts_and_dashboard_are_those_of_monitoring(self):
        objects = chart("--set", "monitoring.rules.enabled=true,monitoring.dashboard.enabled=true")
        alerts, = rendering.objects_in((ROOT / "deploy/monitoring/alerts.yml").read_text())
        self.assertEqual(one_of(objects, "PrometheusRule")["spec"], alerts)
        dashboard = one_of(objects, "ConfigMap", "zeroshot-dashboard")["data"]["zeroshot.json"]
        self.assertEqual(dashboard, (ROOT / "deploy/monitoring/dashboard.json").read_text())

    def test_notes_name_what_is_still_to_be_done(self):
        self.assertIn("demo model", rendering.templated(notes=True))
        notes = rendering.templated(*PRODUCTION, "--set", "model.source=volume,tls.certManager.enabled=false", notes=True)
        notes = notes[notes.index("NOTES:"):]
        for needed in ("zeroshot-models", "zeroshot-tls", "zeroshot-redis", "zeroshot-client=true", "--tls_ca=FILE"):
            self.assertIn(needed, notes)
        self.assertNotIn("demo model", notes)


@unittest.skipUnless(READY, WHY_NOT)
class Schema(unittest.TestCase):
    def setUp(self):
        sys.path.insert(0, str(rendering.PACKAGES))
        import jsonschema_rs  # pylint: disable=import-outside-toplevel
        schema = json.loads((rendering.CHART / "values.schema.json").read_text())
        jsonschema_rs.meta.validate(schema)
        self.validator = jsonschema_rs.Draft7Validator(schema)
        self.values, = rendering.objects_in((rendering.CHART / "values.yaml").read_text())

    def changed(self, path, value):
        values = copy.deepcopy(self.values)
        inner = values
        *parents, last = path.split(".")
        for name in parents:
            inner = inner[name]
        inner[last] = value
        return values

    def test_it_takes_the_charts_own_values(self):
        self.validator.validate(self.values)
        for file in rendering.CHART.glob("values-*.yaml"):
            self.validator.validate(rendering.objects_in(file.read_text())[0])

    def test_it_knows_every_value(self):
        def names(values, schema, path):
            while "$ref" in schema:
                schema = self.definition(schema["$ref"])
            for name, value in values.items():
                if schema.get("additionalProperties", True) is not False:
                    continue  # a map of the user's own names
                self.assertIn(name, schema["properties"], path)
                if isinstance(value, dict):
                    names(value, schema["properties"][name], path + (name,))
            if schema.get("additionalProperties", True) is False:
                self.assertLessEqual(set(schema["properties"]) - {"global", "pullPolicy"}, set(values), path)
        self.schema = json.loads((rendering.CHART / "values.schema.json").read_text())
        names(self.values, self.schema, ())

    def definition(self, reference):
        return self.schema["definitions"][reference.rpartition("/")[2]]

    def test_it_refuses_what_would_not_work(self):
        for path, value in (
                ("replica", 3), ("replicas", 0), ("replicas", "3"), ("device", "gpu"), ("precision", "auto"),
                ("devices.cpu.resources", {"requests": {"cpu": "2"}}), ("model.source", "hub"),
                ("model.file", "/models/ViT-B-32.pt"), ("http.enabled", "yes"), ("flags", {"max-inflight": 3}),
                ("flags", {"drain_grace": "5s"}), ("flags", {"redis": "redis://:secret@host"}),
                ("flags", {"image_formats": ["jpeg"]}), ("drain.graceSeconds", "5s"), ("tls.secret", "My Secret"),
                ("autoscaling.kind", "vpa"), ("autoscaling.minReplicas", 0), ("autoscaling.prometheus", "prometheus:9090"),
                ("networkPolicy.clients", {}), ("ingress.http.host", "https://zeroshot.example"),
                ("redis.maxMemory", "768Mi"), ("monitoring.serviceMonitor.interval", 15)):
            self.assertFalse(self.validator.is_valid(self.changed(path, value)), (path, value))

    def test_helm_asks_it(self):
        with self.assertRaisesRegex(AssertionError, "device"):
            chart("--set", "device=gpu")
        with self.assertRaisesRegex(AssertionError, "ingress"):
            chart(*INGRESS, "--set", "http.enabled=false")


if __name__ == "__main__":
    unittest.main()
