from django.urls import path

from analytics import api

urlpatterns = [
    path("stays", api.Stays.as_view(), name="stays"),
    path("reports/footfall", api.FootfallReport.as_view(), name="footfall"),
    path("status", api.Status.as_view(), name="status"),
]
