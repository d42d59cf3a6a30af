"""The plain way: a DRF view with serializers, bulk_create, and the stays updated row by row in the request.

It is not made slow: keys are found by a digest, places by the same tree, and the boundaries are loaded once.
"""

import hashlib
from datetime import timedelta
from functools import cache
from typing import Any

import shapely
from django.db import transaction
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from engagement.models import ApiKey, ZoneVersion
from tests.bench.plain.models import PlainEvent, PlainStay

GRACE = timedelta(seconds=120)


class EventSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    type = serializers.ChoiceField(choices=["fix"])
    at = serializers.DateTimeField()
    lat = serializers.FloatField(min_value=-90, max_value=90)
    lon = serializers.FloatField(min_value=-180, max_value=180)
    accuracy = serializers.FloatField(min_value=0)


class DeviceSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(max_length=128)


class RequestSerializer(serializers.Serializer[Any]):
    device = DeviceSerializer()
    events = EventSerializer(many=True)


@cache
def places() -> tuple[list[int], shapely.STRtree]:
    rows = list(ZoneVersion.objects.filter(valid_to=None).exclude(boundary=None).values_list("zone_id", "boundary"))
    return [zone for zone, _ in rows], shapely.STRtree([shapely.geometry.shape(boundary) for _, boundary in rows])


class Events(APIView):
    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []

    def post(self, request: Request) -> Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        key = ApiKey.objects.filter(digest=hashlib.sha256(token.encode()).digest(), revoked_at=None).first()
        if key is None:
            raise AuthenticationFailed
        serializer = RequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        device, events = serializer.validated_data["device"]["id"], serializer.validated_data["events"]
        with transaction.atomic():
            PlainEvent.objects.bulk_create(
                [
                    PlainEvent(
                        organisation_id=key.organisation_id, device=device, event_id=e["id"], at=e["at"], lat=e["lat"], lon=e["lon"], accuracy=e["accuracy"]
                    )
                    for e in events
                ],
                ignore_conflicts=True,
            )
            for event in events:
                self.extend(key.organisation_id, device, event)
        return Response({"accepted": len(events)}, status=202)

    def extend(self, organisation: int, device: str, event: dict[str, Any]) -> None:
        zones, tree = places()
        for index in tree.query(shapely.Point(event["lon"], event["lat"]), predicate="intersects"):
            stay = PlainStay.objects.filter(device=device, zone_id=zones[index], ended__gte=event["at"] - GRACE).order_by("-ended").first()
            if stay is None:
                PlainStay.objects.create(organisation_id=organisation, device=device, zone_id=zones[index], started=event["at"], ended=event["at"])
            elif stay.ended < event["at"]:
                stay.ended = event["at"]
                stay.save(update_fields=["ended"])
