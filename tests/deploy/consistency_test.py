"""Dockerfile, deploy/ and the programs agree: flags, ports, health, grace
periods, metric names, users, versions. Reads files only; no container, no
cluster, no package beyond Python's own."""

import json
import re
import unittest

import rendering

ROOT = rendering.ROOT
KUBERNETES = ROOT / "deploy/kubernetes"
COMPOSE = "deploy/compose/compose.yaml"


def read(path):
    return (ROOT / path).read_text()


def manifests():
    """{path: text without comments} of every manifest."""
    texts = {}
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        text = re.sub(r"(?m)(^|\s)#.*$", "", path.read_text())
        texts[str(path.relative_to(ROOT))] = text
    return texts


def rendered(overlay):
    return rendering.kustomized(KUBERNETES / "overlays" / overlay)


def dockerfile_list(instruction):
    """The JSON list of the last such instruction."""
    text = read("Dockerfile").replace("\\\n", " ")
    return json.loads(re.findall(rf"{instruction} *(\[.*\])", text)[-1])


def flags_in(text):
    return re.findall(r"--([a-z_]+)=([^\s\"'\]},]*)", text)


def seconds(pattern, text):
    return [int(number) for number in re.findall(pattern, text)]


def server_flags():
    return set(re.findall(r"flags->[A-Z]\w+\(\s*\"(\w+)\",", read("server/option_flags.cc")))


class Flags(unittest.TestCase):
    def test_manifests_set_flags_that_the_server_has(self):
        # Those of scripts/fetch_model, which the init container runs.
        known = server_flags() | {"to", "revision"}
        self.assertGreater(len(known), 20)
        seen = set()
        for path, text in manifests().items():
            for flag, _ in flags_in(text):
                seen.add(flag)
                self.assertIn(flag, known, path)
        self.assertLessEqual({"tls_cert", "tls_key", "precision", "threads"}, seen)

    def test_image_and_compose_set_flags_that_the_server_has(self):
        known = server_flags()
        variables = re.findall(r"ZEROSHOT_([A-Z_]+)=", re.search(r"(?m)^ENV .*", read("Dockerfile")).group())
        self.assertGreater(len(variables), 0)
        for variable in variables:
            self.assertIn(variable.lower(), known)
        compose = re.search(r"(?s)\n  zeroshot:\n(.*?)\n\n", read(COMPOSE)).group(1)
        for flag, _ in re.findall(r"- --([a-z_]+)=(.*)", compose):
            self.assertIn(flag, known)

    def test_replicas_pin_the_precision_because_ids_depend_on_it(self):
        for overlay in ("cpu", "gpu"):
            values = dict(flags_in(read(f"deploy/kubernetes/overlays/{overlay}/flags.yaml")))
            self.assertIn(values["precision"], {"fp32", "bf16", "fp16", "int8"})
            self.assertEqual(values["device"], {"cpu": "cpu", "gpu": "cuda"}[overlay])

    def test_health_check_uses_a_command_and_flags_that_the_client_has(self):
        program, command, *flags = dockerfile_list("CMD")
        self.assertEqual((program, command), ("zeroshot_client", "health"))
        self.assertIn('"health",', read("client/cli/server_commands.cc"))
        for flag in flags:
            self.assertIn(f'{{"{flags_in(flag)[0][0]}", ', read("client/cli/run.cc"))


class Ports(unittest.TestCase):
    def setUp(self):
        variables = dict(re.findall(r"ZEROSHOT_(\w+)=0\.0\.0\.0:(\d+)", read("Dockerfile")))
        self.grpc = int(variables["LISTEN"])
        self.http = int(variables["HTTP_LISTEN"])
        self.metrics = int(variables["METRICS_LISTEN"])

    def test_image_listens_where_the_server_does_by_default(self):
        text = read("server/options.h")
        self.assertIn(f'listen = "127.0.0.1:{self.grpc}"', text)
        self.assertIn(f'http_listen = "127.0.0.1:{self.http}"', text)
        self.assertIn(f'metrics_listen = "127.0.0.1:{self.metrics}"', text)
        exposed = re.search(r"(?m)^EXPOSE (.*)$", read("Dockerfile")).group(1)
        self.assertEqual(exposed.split(), [str(self.grpc), str(self.http), str(self.metrics)])

    def test_pods_services_and_probes_use_the_images_ports(self):
        ports = dict(re.findall(r"\{name: (\w+), containerPort: (\d+)",
                                read("deploy/kubernetes/base/deployment.yaml")))
        self.assertEqual(ports, {"grpc": str(self.grpc), "http": str(self.http), "metrics": str(self.metrics)})
        services = re.findall(r"\{name: (\w+), port: (\d+), targetPort: (\w+)",
                              read("deploy/kubernetes/base/services.yaml"))
        self.assertEqual(len(services), 4)
        for name, port, target in services:
            self.assertEqual((name, port), (target, ports[name]))
        for path, text in manifests().items():
            for port in re.findall(r"(?:httpGet|endpoints|grpc): \{[^}]*port: (\w+)", text):
                self.assertIn(port, {"metrics", str(self.grpc)}, path)
            for port in re.findall(r"httpGet: \{[^}]*port: (\w+)", text):
                self.assertEqual(port, "metrics", path)

    def test_compose_and_prometheus_use_them_too(self):
        self.assertIn(f"127.0.0.1:{self.grpc}:{self.grpc}", read(COMPOSE))
        self.assertIn(f"127.0.0.1:{self.http}:{self.http}", read(COMPOSE))
        self.assertIn(f'"zeroshot:{self.metrics}"', read("deploy/compose/prometheus.yml"))
        self.assertIn("alerts.yml", read("deploy/compose/prometheus.yml"))


class Health(unittest.TestCase):
    def test_probes_ask_for_what_the_server_answers(self):
        proto = read("proto/zeroshot/v1/zeroshot.proto")
        service = (re.search(r"(?m)^package ([\w.]+);", proto).group(1) + "." +
                   re.search(r"(?m)^service (\w+)", proto).group(1))
        pages = re.findall(r'path [!=]= "(/\w+)"', read("server/status_page.cc"))
        probes = 0
        for path, text in manifests().items():
            for asked in re.findall(r"grpc: \{[^}]*service: ([\w.]+)", text):
                self.assertEqual(asked, service, path)
                probes += 1
            for page in re.findall(r"path: (/\w+)[,}]", text):
                self.assertIn(page, pages, path)
                probes += 1
        self.assertGreaterEqual(probes, 7)

    def test_restarts_come_later_than_the_watchdog(self):
        patience = seconds(r"watchdog_timeout\s*=\s*absl::Seconds\((\d+)\)", read("server/options.h"))
        text = read("deploy/kubernetes/base/deployment.yaml")
        probe = re.search(r"(?s)livenessProbe:.*?periodSeconds: (\d+).*?failureThreshold: (\d+)", text)
        self.assertGreater(int(probe.group(1)) * int(probe.group(2)), patience[0])

    def test_tls_goes_without_grpc_probes(self):
        # Kubernetes' gRPC probes cannot speak it.
        text = read("deploy/kubernetes/overlays/production/production.yaml")
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            self.assertRegex(text, rf"{probe}:\s+\$patch: replace\s+httpGet:")


class Grace(unittest.TestCase):
    own = seconds(r"kTimeToEnd = absl::Seconds\((\d+)\)", read("server/main.cc"))

    def test_pods_are_given_the_time_that_the_server_takes_to_stop(self):
        text = read("deploy/kubernetes/base/deployment.yaml")
        parts = (seconds(r"sleep: \{seconds: (\d+)\}", text) + self.own +
                 seconds(r"--drain_(?:grace|timeout)=(\d+)s", text))
        self.assertEqual(len(parts), 4)
        self.assertEqual(seconds(r"terminationGracePeriodSeconds: (\d+)", text), [sum(parts)])
        for path, other in manifests().items():
            if not path.endswith("base/deployment.yaml"):
                self.assertNotRegex(other, r"drain_|terminationGrace|preStop", path)

    def test_compose_does_too(self):
        text = read(COMPOSE)
        parts = self.own + seconds(r"--drain_(?:grace|timeout)=(\d+)s", text)
        self.assertEqual(len(parts), 3)
        self.assertEqual(seconds(r"stop_grace_period: (\d+)s", text), [sum(parts)])

    def test_systemd_does_too(self):
        # The unit names no grace of its own: the server's defaults count.
        defaults = seconds(r"drain_(?:grace|timeout) = absl::Seconds\((\d+)\)", read("server/options.h"))
        self.assertEqual(len(defaults), 2)
        stop, = seconds(r"(?m)^TimeoutStopSec=(\d+)$", read("deploy/systemd/zeroshot.service"))
        self.assertGreater(stop, sum(defaults + self.own))
        for default in defaults:
            self.assertIn(f"({default} s)", read("deploy/systemd/zeroshot.service"))

    def test_readiness_is_noticed_within_the_grace(self):
        text = read("deploy/kubernetes/base/deployment.yaml")
        sleep = seconds(r"sleep: \{seconds: (\d+)\}", text)[0]
        grace = seconds(r"--drain_grace=(\d+)s", text)[0]
        probe = re.search(r"(?s)readinessProbe:.*?periodSeconds: (\d+)", text)
        self.assertGreaterEqual(sleep + grace, int(probe.group(1)))


class KServe(unittest.TestCase):
    runtime = read("deploy/kserve/serving-runtime.yaml")

    def test_the_runtime_starts_the_server_as_the_overlay_for_processors_does(self):
        flags = dict(flags_in(self.runtime))
        ours = dict(flags_in(read("deploy/kubernetes/base/deployment.yaml") +
                             read("deploy/kubernetes/overlays/cpu/flags.yaml")))
        # KServe lays models there.
        self.assertEqual(flags, ours | {"model": "/mnt/models"})
        self.assertLessEqual(set(flags), server_flags())

    def test_ports_and_pages_are_the_servers(self):
        ports = dict(re.findall(r"\{name: (\w+), containerPort: (\d+)", self.runtime))
        for name, port in re.findall(r"\{name: (\w+), containerPort: (\d+)",
                                     read("deploy/kubernetes/base/deployment.yaml")):
            if name == "metrics":
                self.assertIn(f'prometheus.kserve.io/port: "{port}"', self.runtime)
                self.assertEqual(set(re.findall(r"httpGet: .*port: (\d+)", self.runtime)), {port})
            else:
                self.assertEqual(ports[name], port)
        pages = re.findall(r'path [!=]= "(/\w+)"', read("server/status_page.cc"))
        self.assertLessEqual(set(re.findall(r"path: (/\w+)", self.runtime)), set(pages))

    def test_the_service_gives_the_time_to_drain_and_names_the_runtime(self):
        service = read("deploy/kserve/inference-service.yaml")
        self.assertEqual(seconds(r"terminationGracePeriodSeconds: (\d+)", service),
                         seconds(r"terminationGracePeriodSeconds: (\d+)", read("deploy/kubernetes/base/deployment.yaml")))
        name, = re.findall(r"runtime: (\w+)", service)
        self.assertIn(f"  name: {name}\n", self.runtime)
        wanted, = re.findall(r"modelFormat: \{name: (\w+)\}", service)
        self.assertIn(f"{{name: {wanted}, ", self.runtime)


class Metrics(unittest.TestCase):
    def test_autoscaler_and_adapter_ask_for_metrics_that_exist(self):
        folder = "deploy/kubernetes/overlays/production/"
        adapter = read(folder + "prometheus-adapter.yaml")
        scaled = read("deploy/kubernetes/components/keda/scaled-object.yaml")
        made = re.search(r"name: \{as: (\w+)\}", adapter).group(1)
        self.assertIn(f"metric: {{name: {made}}}", read(folder + "autoscaler.yaml"))
        known = set(re.findall(r"\| `(\w+)`", read("docs/metrics.md")))
        asked = {re.sub("_(sum|count|bucket)$", "", name)
                 for name in re.findall(r"zeroshot_\w+", re.sub("#.*", "", adapter + scaled))} - {made}
        self.assertEqual(asked, {"zeroshot_stage_seconds"})
        self.assertLessEqual(asked, known)
        self.assertIn('observe("queue",', read("server/metrics.cc"))

    def test_prometheus_calls_the_job_what_the_alerts_call_it(self):
        self.assertIn('job="zeroshot"', read("deploy/monitoring/alerts.yml"))
        self.assertIn("job_name: zeroshot\n", read("deploy/compose/prometheus.yml"))
        self.assertIn("jobLabel: app.kubernetes.io/name",
                      read("deploy/kubernetes/components/service-monitor/service-monitor.yaml"))


class Compose(unittest.TestCase):
    def test_what_it_mounts_is_there(self):
        mounts = re.findall(r"- (\.[^:\s]*):(/[^:\s]*):ro", read(COMPOSE))
        self.assertEqual(len(mounts), 5)
        for source, _ in mounts:
            self.assertTrue((ROOT / "deploy/compose" / source).is_file(), source)

    def test_grafana_finds_prometheus_and_the_dashboard(self):
        text = read(COMPOSE)
        host, port = re.search(r"url: http://(\w+):(\d+)", read("deploy/compose/grafana/datasources.yaml")).groups()
        self.assertRegex(text, rf"(?s)\n  {host}:\n.*?- 127\.0\.0\.1:\d+:{port}\n")
        dashboard = re.search(r"dashboard\.json:(\S+):ro", text).group(1)
        self.assertIn(f"HOME_DASHBOARD_PATH: {dashboard}\n", text)
        folder = re.search(r"path: (\S+)", read("deploy/compose/grafana/dashboards.yaml")).group(1)
        self.assertEqual(folder, dashboard.rpartition("/")[0])

    def test_the_dashboard_asks_the_data_source_that_is_chosen(self):
        dashboard = json.loads(read("deploy/monitoring/dashboard.json"))
        variable, = dashboard["templating"]["list"]
        self.assertEqual((variable["type"], variable["query"]), ("datasource", "prometheus"))
        boxes = set()
        for panel in dashboard["panels"]:
            self.assertEqual(panel["datasource"]["uid"], f"${{{variable['name']}}}", panel["title"])
            self.assertTrue(panel["targets"], panel["title"])
            box = panel["gridPos"]
            self.assertLessEqual(box["x"] + box["w"], 24, panel["title"])
            for cell in ((x, y) for x in range(box["x"], box["x"] + box["w"])
                         for y in range(box["y"], box["y"] + box["h"])):
                self.assertNotIn(cell, boxes, panel["title"])
                boxes.add(cell)


class Image(unittest.TestCase):
    def test_version_is_the_projects(self):
        version = re.search(r"project\(zeroshot VERSION ([\d.]+)", read("CMakeLists.txt")).group(1)
        self.assertIn(f'org.opencontainers.image.version="{version}"', read("Dockerfile"))

    def test_pods_run_as_the_images_user(self):
        users = set(re.findall(r"(?m)^USER (\d+):(\d+)$", read("Dockerfile")))
        self.assertEqual(users, {("10001", "10001")})
        text = read("deploy/kubernetes/base/deployment.yaml")
        self.assertIn("runAsUser: 10001", text)
        self.assertIn("runAsGroup: 10001", text)

    def test_manifests_name_images_that_the_dockerfile_makes(self):
        dockerfile = read("Dockerfile")
        tags = set()
        for path, text in manifests().items():
            tags.update(re.findall(r"newName: zeroshot, newTag: ([\w-]+)", text))
        self.assertEqual(tags, {"cpu", "cuda", "fetch-model"})
        for tag in tags:
            self.assertIn(f"-t zeroshot:{tag} ", dockerfile)
        self.assertIn("AS fetch-model", dockerfile)

    def test_what_it_copies_is_sent_to_the_builder(self):
        sent = re.findall(r"(?m)^!(.*)$", read(".dockerignore"))
        for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", read("Dockerfile")):
            for source in line.split()[:-1]:
                source = source.rstrip("/")
                self.assertTrue((ROOT / source).exists(), source)
                self.assertTrue(any(source == s or source.startswith(s + "/") for s in sent), source)


class Service(unittest.TestCase):
    unit = read("deploy/systemd/zeroshot.service")
    flagfile = "/etc/zeroshot/server.flags"

    def test_it_reads_the_flags_that_the_package_keeps(self):
        self.assertIn(f"ExecStart=/usr/bin/zeroshot_server --flagfile={self.flagfile}\n", self.unit)
        self.assertEqual(read("deploy/debian/conffiles"), self.flagfile + "\n")

    def test_it_runs_as_the_user_that_the_package_makes_in_its_folder(self):
        user, = re.findall(r"(?m)^User=(\w+)$", self.unit)
        self.assertRegex(read("deploy/debian/postinst"), rf"adduser --system .* {user}\n")
        folder, = re.findall(r"(?m)^StateDirectory=(\w+)$", self.unit)
        self.assertIn(f"--disk_store=/var/lib/{folder}/", read("deploy/systemd/server.flags"))
        self.assertIn(f"rm -rf /var/lib/{folder}\n", read("deploy/debian/postrm"))


@unittest.skipUnless(rendering.tool("kubectl"), "no kubectl here; scripts/test fetches it")
class Rendered(unittest.TestCase):
    def test_every_overlay_is_complete_and_hardened(self):
        for overlay in ("cpu", "gpu", "production", "test"):
            text = rendered(overlay)
            for line in ("runAsNonRoot: true", "readOnlyRootFilesystem: true",
                         "allowPrivilegeEscalation: false", "type: RuntimeDefault",
                         "automountServiceAccountToken: false", "kind: PodDisruptionBudget"):
                self.assertIn(line, text, overlay)
            containers = len(re.findall(r"(?m)^ +image: ", text))
            self.assertEqual(text.count("- ALL"), containers, overlay)
            self.assertEqual(len(re.findall(r"(?m)^ +limits:\n +cpu: ", text)), containers, overlay)

    def test_production_has_what_it_promises(self):
        text = rendered("production")
        for kind in ("HorizontalPodAutoscaler", "NetworkPolicy", "ServiceMonitor", "Certificate"):
            self.assertIn(f"kind: {kind}\n", text)
        self.assertNotIn("grpc:\n", text)
        self.assertIn("minReplicas: 3", text)
        self.assertIn("name: ZEROSHOT_REDIS", text)


if __name__ == "__main__":
    unittest.main()
