"""A client in Python, generated from proto/: asks for a Task and an LRP, reads them back, watches, and meets an error.

Usage: client.py SERVER CA CERT KEY  (with the generated modules on PYTHONPATH); prints JSON.
"""

import json
import sys

import grpc
from google.protobuf.duration_pb2 import Duration
from rivera.bbs.v1 import (
    desired_lrp_pb2,
    desired_lrp_service_pb2,
    desired_lrp_service_pb2_grpc,
    domain_service_pb2,
    domain_service_pb2_grpc,
    event_service_pb2,
    event_service_pb2_grpc,
    task_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
)
from rivera.recipe.v1 import action_pb2, container_pb2

server, ca, cert, key = sys.argv[1:5]


def read(path):
    with open(path, "rb") as file:
        return file.read()


credentials = grpc.ssl_channel_credentials(read(ca), read(key), read(cert))
# Servers are known by their certificate, not by their address.
channel = grpc.secure_channel(server, credentials, [("grpc.ssl_target_name_override", "rivera-server")])

container = container_pb2.ContainerSpec(root_fs="preloaded:busybox", memory_mb=32, disk_mb=32)
action = action_pb2.Action(run_action=action_pb2.RunAction(path="/bin/true", user="root"))

domains = domain_service_pb2_grpc.DomainServiceStub(channel)
domains.UpsertDomain(domain_service_pb2.UpsertDomainRequest(domain="python", ttl=Duration(seconds=60)), timeout=10)

tasks = task_service_pb2_grpc.TaskServiceStub(channel)
desired = task_service_pb2.DesireTaskRequest(
    task_guid="from-python", domain="python", definition=task_pb2.TaskDefinition(container=container, action=action)
)
task = tasks.DesireTask(desired, timeout=10).task

lrps = desired_lrp_service_pb2_grpc.DesiredLrpServiceStub(channel)
lrp = desired_lrp_pb2.DesiredLrp(process_guid="from-python", domain="python", container=container, action=action)
lrps.DesireLrp(desired_lrp_service_pb2.DesireLrpRequest(desired_lrp=lrp), timeout=10)
listed = lrps.ListDesiredLrps(desired_lrp_service_pb2.ListDesiredLrpsRequest(domain="python"), timeout=10)

try:
    tasks.GetTask(task_service_pb2.GetTaskRequest(task_guid="nobody"), timeout=10)
    error = None
except grpc.RpcError as caught:
    error = caught.code().name

events = event_service_pb2_grpc.EventServiceStub(channel)
watch = events.Watch(event_service_pb2.WatchRequest(snapshot=True, domains=["python"]), timeout=10)
records = []
for response in watch:
    records += [record.WhichOneof("record") for record in response.snapshot_records]
    if response.snapshot_complete:
        break
watch.cancel()

print(
    json.dumps(
        {
            "state": task_pb2.TaskState.Name(task.state),
            "lrps": [each.process_guid for each in listed.desired_lrps],
            "error": error,
            "records": sorted(record for record in records if record != "cell"),
        }
    )
)
