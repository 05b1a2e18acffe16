"""Services, service discovery, health, metrics, description."""

import re

from prometheus_client.parser import text_string_to_metric_families

from tests.recommender.foundation.live import Live, eventually


def test_services_are_those_of_the_inventory(intake: Live) -> None:
    assert [service["name"] for service in intake.get("/services")["services"]] == ["chat", "direct"]
    chat = intake.get("/services/chat")
    assert (chat["engine"], chat["executor"], chat["approval"]) == ("vllm", "dry_run", "manual")
    assert chat["objectives"] == {"ttft_p95_seconds": 2.0}
    assert "restart_command" not in str(chat)
    assert intake.call("GET", "/api/v1/services/nothing").status_code == 404


def test_the_diagnosis_reads_prometheus_now(intake: Live) -> None:
    found = intake.get("/services/chat/diagnosis")
    assert found["diagnosis"]["status"] == "diagnosed"
    assert found["diagnosis"]["findings"][0]["bottleneck"] == "admission_limited"
    assert found["evidence"]["replica_readings"]["127.0.0.1:9001"]
    assert found["diagnosis"]["findings"][0]["role"] == "root"


def test_the_plan_of_now_says_what_the_policy_makes_of_it(api: Live) -> None:
    first = api.get("/services/chat/plan")
    assert first["admission"] == "A person decides: the policy is manual approval."
    assert api.get("/workflows")["workflows"] == []
    api.notify()
    (workflow,) = eventually(lambda: api.get("/workflows")["workflows"])
    then = api.get("/services/chat/plan")
    assert then["plan"]["change"] == workflow["plan"]["change"]
    assert then["admission"] == f"workflow {workflow['id']} of chat is pending_approval"
    assert api.call("GET", "/api/v1/services/nobody/plan").status_code == 404
    assert api.call("GET", "/api/v1/services/chat/plan", None).status_code == 401


def test_the_evidence_can_be_read_by_itself(intake: Live) -> None:
    found = intake.get("/services/chat/evidence")
    reading = found["replica_readings"]["127.0.0.1:9001"]["replica:llm_up"]
    assert reading["query"] == 'replica:llm_up{service="chat",instance="127.0.0.1:9001"}'
    assert set(found["placements"]) == {"127.0.0.1:9001", "127.0.0.1:9002"}


def test_service_discovery_speaks_prometheus_format(intake: Live) -> None:
    probed = intake.get("/sd/llm-probe")
    assert probed == [
        {"targets": [f"http://127.0.0.1:{port}"], "labels": {"service": "chat", "engine": "vllm", "node": "n1"}}
        for port in (9001, 9002)
    ]
    assert [group["targets"] for group in intake.get("/sd/llm-direct")] == [["127.0.0.1:9003"]]
    assert intake.get("/sd/node") == [
        {"targets": ["127.0.0.1:8003"], "labels": {"node": "n1"}},
        {"targets": ["127.0.0.1:8003"], "labels": {"node": "n2"}},
    ]
    assert intake.call("GET", "/api/v1/sd/nonsense").status_code == 400
    assert intake.call("GET", "/api/v1/sd/node").headers["Content-Type"] == "application/json"


def test_health_tries_every_part(api: Live) -> None:
    found = api.get("/health/detailed", None)
    assert found["status"] == "up"
    assert set(found["components"]) == {"store", "prometheus", "intake", "reconciler", "watchdog"}
    assert found["components"]["store"]["latency_seconds"] > 0
    assert api.get("/health", None) == {"status": "up"}
    assert api.get("/health/ready", None) == {"status": "up"}


def test_metrics_are_an_exposition_with_the_inventory_in_it(intake: Live) -> None:
    text = intake.call("GET", "/metrics", None).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    knobs = {
        (sample.labels["instance"], sample.labels["knob"]): sample.value
        for sample in families["optiinfra_replica_knob"].samples
    }
    assert knobs["127.0.0.1:9001", "max_running_requests"] == 8
    assert knobs["127.0.0.1:9002", "prefix_caching"] == 1
    [objective] = families["optiinfra_objective"].samples
    assert (objective.labels, objective.value) == ({"service": "chat", "objective": "ttft_p95_seconds"}, 2.0)
    up = {sample.labels["component"]: sample.value for sample in families["optiinfra_component_up"].samples}
    assert up == {"store": 1, "prometheus": 1, "intake": 1, "reconciler": 1}  # no Watchdog yet: unknown, so absent
    assert "process_cpu_seconds" in families
    assert {"optiinfra_workflows", "optiinfra_workflows_finished", "optiinfra_intake_backlog"} <= set(families)


def test_the_root_is_a_page_for_browsers_and_json_for_others(intake: Live) -> None:
    assert intake.call("GET", "/", None).json()["service"] == "optiinfra-recommender"
    page = intake.call("GET", "/", None, headers={"Accept": "text/html"}).text
    assert "No plan waits for a decision" in page


def test_the_description_names_every_path_and_nothing_comes_from_elsewhere(intake: Live) -> None:
    document = intake.call("GET", "/openapi/openapi.json", None).json()
    assert document["openapi"].startswith("3.")
    assert {"/api/v1/alerts", "/api/v1/workflows/{workflow_id}/approve", "/api/v1/sd/{job}"} <= set(document["paths"])
    assert document["paths"]["/api/v1/workflows"]["get"]["security"] == [{"bearer": []}]
    page = intake.call("GET", "/openapi/", None).text
    assert "/api/v1/workflows/{workflow_id}/approve" in page
    assert not re.search(r'(src|href)="(https?:)?//', page)
