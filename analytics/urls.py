from django.urls import path

from analytics import api, report_api

urlpatterns = [
    path("stays", api.Stays.as_view(), name="stays"),
    path("status", api.Status.as_view(), name="status"),
    path("places", report_api.Places.as_view(), name="places"),
    *(path(f"reports/{name}", view.as_view(), name=name) for name, view in report_api.VIEWS.items()),
]
