#!/usr/bin/env python3
"""A courier's backend in one file: announces a parcel, deposits it, follows its events, and answers its recall.

Of Gatepost it has nothing but what the stock tools make of the published protos:

    python3 -m pip install grpcio-tools grpcio-status
    python3 -m grpc_tools.protoc -I proto --python_out=client --grpc_python_out=client proto/gatepost/v1/*.proto
    PYTHONPATH=client python3 proto/examples/courier.py --help

It may be killed and started again at any time: its request ids are made of what a request is about, so that the same
question is asked again and answered as the first time, and the last event it has handled stands in a file.
"""

import argparse
import pathlib
import sys
import time
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from gatepost.v1 import events_pb2, events_pb2_grpc, parcels_pb2, parcels_pb2_grpc

CONFIG = pathlib.Path(__file__).parent.parent / "client-service-config.json"
FINAL = {
    events_pb2.EVENT_KIND_PICKED_UP,
    events_pb2.EVENT_KIND_DELIVERED_TO_DOOR,
    events_pb2.EVENT_KIND_RETURNED_TO_SENDER,
    events_pb2.EVENT_KIND_CANCELLED,
}
RECONNECT_SECONDS = 1


def request_id(*about):
    """The same for the same question."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(map(str, about))))


def reason(error):
    """The reason of the catalogue, in whatever language the message is."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return error.code().name


def connect(arguments):
    options = [
        # Retries what may be retried, with the same request id.
        ("grpc.service_config", arguments.service_config.read_text()),
        # A stream that nobody answers any more is noticed.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]
    scheme, _, address = arguments.platform.rpartition("://")
    if scheme == "http":
        return grpc.insecure_channel(address, options)
    authority = arguments.ca.read_bytes() if arguments.ca else None
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(authority), options)


class Backend:
    def __init__(self, channel, key, cursor_file):
        self.parcels = parcels_pb2_grpc.ParcelServiceStub(channel)
        self.log = events_pb2_grpc.EventServiceStub(channel)
        self.key = [("authorization", f"Bearer {key}")]
        self.cursor_file = cursor_file

    def bring(self, parcel):
        """Announces a parcel and puts it where the platform says; its id."""
        announced = self.announce(parcel)
        if announced.state == parcels_pb2.PARCEL_STATE_ANNOUNCED:
            place = announced.placement
            if place.kind != parcels_pb2.PLACEMENT_KIND_LOCKER:
                sys.exit(f"to the door, or to be resolved by staff: {parcels_pb2.PlacementKind.Name(place.kind)}")
            print(f"{announced.tracking_number}: into {place.locker_id}, {place.compartment_id}", flush=True)
            deposit = parcels_pb2.ConfirmDepositRequest(
                request_id=request_id(announced.id, "deposit"),
                parcel_id=announced.id,
                locker_id=place.locker_id,
                compartment_id=place.compartment_id,
            )
            self.parcels.ConfirmDeposit(deposit, metadata=self.key)
        return announced.id

    def announce(self, parcel):
        try:
            return self.parcels.AnnounceParcel(parcel, metadata=self.key).parcel
        except grpc.RpcError as error:
            # Asked more than a day ago: the answer is no longer kept, the parcel is.
            if reason(error) != "TRACKING_NUMBER_TAKEN":
                raise
        known = parcels_pb2.GetParcelRequest(tracking_number=parcel.tracking_number)
        return self.parcels.GetParcel(known, metadata=self.key).parcel

    def events(self):
        """Every event after the last one handled. One counts as handled when the next one is asked for."""
        while True:
            after = int(self.cursor_file.read_text()) if self.cursor_file.exists() else 0
            request = events_pb2.StreamEventsRequest(after_sequence=after)
            try:
                for message in self.log.StreamEvents(request, metadata=self.key):
                    if message.HasField("event"):
                        yield message.event
                        self.cursor_file.write_text(str(message.event.sequence))
                    elif message.HasField("drain"):
                        break
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
                    raise
            # The server went away, or the network did, or we have called too often.
            time.sleep(RECONNECT_SECONDS)

    def handle(self, event):
        about = (event.parcel_id, event.recall_number)
        if event.kind == events_pb2.EVENT_KIND_RECALL_REQUESTED:
            accept = parcels_pb2.AcceptRecallRequest(
                request_id=request_id(*about, "accept"), parcel_id=event.parcel_id, recall_number=event.recall_number
            )
            try:
                self.parcels.AcceptRecall(accept, metadata=self.key)
            except grpc.RpcError as error:
                # The resident was faster; RECALL_WITHDRAWN follows.
                if reason(error) not in ("ILLEGAL_STEP", "RECALL_NOT_IN_EFFECT"):
                    raise
        elif event.kind == events_pb2.EVENT_KIND_RECALL_ACCEPTED:
            # Here a terminal is sent, and reports as it goes.
            self.report(event.parcel_id, parcels_pb2.DOOR_DELIVERY_OUTCOME_COLLECTED)
            self.report(event.parcel_id, parcels_pb2.DOOR_DELIVERY_OUTCOME_DELIVERED)

    def report(self, parcel_id, outcome):
        report = parcels_pb2.ReportDoorDeliveryRequest(
            request_id=request_id(parcel_id, "attempt 1", outcome), parcel_id=parcel_id, outcome=outcome, attempt=1
        )
        self.parcels.ReportDoorDelivery(report, metadata=self.key)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--platform", default="https://localhost:50051", help="https:// or, on one machine, http://")
    parser.add_argument("--ca", type=pathlib.Path, help="authority to trust, PEM; the machine's own when left out")
    parser.add_argument("--key-file", type=pathlib.Path, required=True)
    parser.add_argument("--service-config", type=pathlib.Path, default=CONFIG)
    parser.add_argument("--cursor-file", type=pathlib.Path, default=pathlib.Path("courier.cursor"))
    for name in ("community", "tracking-number", "name", "phone", "building", "unit"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    announcement = parcels_pb2.AnnounceParcelRequest(
        request_id=request_id("announce", arguments.tracking_number),
        community_id=arguments.community,
        tracking_number=arguments.tracking_number,
        recipient=parcels_pb2.Recipient(
            name=arguments.name, phone=arguments.phone, building=arguments.building, unit=arguments.unit
        ),
        size=parcels_pb2.PARCEL_SIZE_SMALL,
        deposit_consent=parcels_pb2.DEPOSIT_CONSENT_GIVEN,
    )
    with connect(arguments) as channel:
        backend = Backend(channel, arguments.key_file.read_text().strip(), arguments.cursor_file)
        try:
            parcel_id = backend.bring(announcement)
            for event in backend.events():
                print(event.sequence, events_pb2.EventKind.Name(event.kind), event.tracking_number, flush=True)
                backend.handle(event)
                if event.parcel_id == parcel_id and event.kind in FINAL:
                    break
        except grpc.RpcError as error:
            sys.exit(f"{reason(error)}: {error.details()}")


if __name__ == "__main__":
    main()
