from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.bench.plain.views import Events


def live(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


urlpatterns = [path("v1/events", Events.as_view()), path("healthz/live", live)]
