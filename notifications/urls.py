from django.urls import path

from notifications import campaign_api, content_api, message_api

urlpatterns = [
    path("campaigns", campaign_api.Campaigns.as_view(), name="campaigns_api"),
    path("campaigns/<str:key>", campaign_api.One.as_view(), name="campaign_api"),
    path("campaigns/<str:key>/funnel", campaign_api.Funnel.as_view(), name="campaign_funnel"),
    path("campaigns/<str:key>/send", campaign_api.Send.as_view(), name="campaign_send"),
    path("campaigns/<str:key>/pause", campaign_api.Pause.as_view(), name="campaign_pause"),
    path("campaigns/<str:key>/resume", campaign_api.Resume.as_view(), name="campaign_resume"),
    path("campaigns/<str:key>/cancel", campaign_api.Cancel.as_view(), name="campaign_cancel"),
    path("campaigns/<str:key>/approve", campaign_api.Approve.as_view(), name="campaign_approve"),
    path("campaigns/<str:key>/unschedule", campaign_api.Unschedule.as_view(), name="campaign_unschedule"),
    path("campaigns/<str:key>/release", campaign_api.Release.as_view(), name="campaign_release"),
    path("campaigns/<str:key>/check", content_api.Check.as_view(), name="campaign_check"),
    path("campaigns/<str:key>/preview", content_api.Preview.as_view(), name="campaign_preview"),
    path("campaigns/<str:key>/test", content_api.Try.as_view(), name="campaign_test"),
    path("campaigns/<str:key>/messages", message_api.Messages.as_view(), name="campaign_messages_api"),
    path("campaigns/<str:key>/report", message_api.Report.as_view(), name="campaign_report"),
    path("campaigns/<str:key>/why", message_api.Why.as_view(), name="campaign_why_api"),
]
