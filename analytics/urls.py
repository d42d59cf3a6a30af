from django.urls import path

from analytics import api, audience_api, report_api

urlpatterns = [
    path("stays", api.Stays.as_view(), name="stays"),
    path("status", api.Status.as_view(), name="status"),
    path("places", report_api.Places.as_view(), name="places"),
    path("audiences", audience_api.Audiences.as_view(), name="api_audiences"),
    path("audiences/count", audience_api.Count.as_view(), name="api_audiences_count"),
    path("audiences/<str:key>", audience_api.OneAudience.as_view(), name="api_audience"),
    path("audiences/<str:key>/members", audience_api.Members.as_view(), name="api_audience_members"),
    path("audiences/<str:key>/changes", audience_api.Changes.as_view(), name="api_audience_changes"),
    *(path(f"reports/{name}", view.as_view(), name=name) for name, view in report_api.VIEWS.items()),
]
