from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from analytics import dashboard, pages
from analytics.admin import audiences, trials
from engagement import health, purchase_door, shopper_door
from engagement.api import NothingHere
from notifications import feedback_door
from notifications.admin import campaigns, mailbox, policy, recipients
from operations import metrics
from operations.admin import acting, redriving, verbs
from operations.admin import news as news_page
from operations.admin import page as operations

handler500 = "engagement.error_pages.failed"
seen = admin.site.admin_view  # logged in, as a member
urlpatterns = [
    path("admin/figures/", seen(pages.figures), name="figures"),
    path("admin/figures/week", seen(pages.week), name="figures_week"),
    path("admin/live/", seen(dashboard.live), name="live"),
    path("admin/live/<int:pk>/", seen(dashboard.live_venue), name="live_venue"),
    path("admin/live/<int:pk>/now", seen(dashboard.live_now), name="live_now"),
    path("admin/outcomes/", seen(dashboard.outcomes), name="outcomes"),
    path("admin/engagement/zone/<int:pk>/try/", seen(trials.try_settings), name="try_settings"),
    path("admin/analytics/trial/<int:pk>/", seen(trials.page), name="trial"),
    path("admin/analytics/trial/<int:pk>/progress", seen(trials.progress), name="trial_progress"),
    path("admin/analytics/trial/<int:pk>/cancel/", seen(trials.cancel), name="trial_cancel"),
    path("admin/analytics/trial/<int:pk>/save/", seen(trials.save), name="trial_save"),
    path("admin/analytics/audience/", seen(audiences.listed), name="audiences"),
    path("admin/analytics/audience/new/", seen(audiences.new), name="audience_new"),
    path("admin/analytics/audience/<int:pk>/", seen(audiences.page), name="audience"),
    path("admin/analytics/audience/<int:pk>/edit/", seen(audiences.edit), name="audience_edit"),
    path("admin/notifications/campaign/", seen(campaigns.listed), name="campaigns"),
    path("admin/notifications/campaign/new/", seen(campaigns.new), name="campaign_new"),
    path("admin/notifications/campaign/<int:pk>/", seen(campaigns.page), name="campaign"),
    path("admin/notifications/campaign/<int:pk>/edit/", seen(campaigns.edit), name="campaign_edit"),
    path("admin/notifications/campaign/<int:pk>/review/", seen(campaigns.review), name="campaign_review"),
    path("admin/notifications/campaign/<int:pk>/messages/", seen(recipients.listed), name="campaign_messages"),
    path("admin/notifications/campaign/<int:pk>/messages/release/", seen(recipients.release), name="release_parked"),
    path("admin/notifications/campaign/<int:pk>/why/", seen(recipients.explained), name="campaign_why"),
    path("admin/notifications/mailbox/", seen(mailbox.listed), name="mailbox"),
    path("admin/notifications/mailbox/<str:name>/", seen(mailbox.letter), name="mailbox_mail"),
    path("admin/notifications/policy/", seen(policy.policy), name="sending_policy"),
    path("admin/notifications/policy/topics/", seen(policy.topics), name="topics"),
    path("admin/news/", seen(news_page.channel), name="news_channel"),
    path("admin/operations/", seen(operations.page), name="operations"),
    path("admin/operations/now", seen(operations.now), name="operations_now"),
    path("admin/operations/action/<str:name>/switch/", seen(acting.switch), name="action_switch"),
    path("admin/operations/alarm/<str:name>/acknowledge/", seen(verbs.acknowledge), name="alarm_acknowledge"),
    path("admin/operations/alarm/<str:name>/silence/", seen(verbs.silence), name="alarm_silence"),
    path("admin/operations/alarm/<str:name>/unsilence/", seen(verbs.unsilence), name="alarm_unsilence"),
    path("admin/operations/redrive/begin/", seen(redriving.begin), name="redrive_begin"),
    path("admin/operations/redrive/<int:pk>/stop/", seen(redriving.stop), name="redrive_stop"),
    path("admin/", admin.site.urls),
    path("v1/feedback/ses", feedback_door.ses, name="feedback_ses"),  # engagement.asgi brings it past the device door
    path("m/", include("notifications.hosted")),
    path("metrics", metrics.page),  # to whoever is near; to all others there is nothing
    path("healthz/live", health.live),
    path("healthz/ready", health.ready),
    path("api/v1/", include("analytics.urls")),
    path("api/v1/", include("notifications.urls")),
    path("api/v1/purchases", purchase_door.Purchases.as_view(), name="purchases"),
    path("api/v1/shoppers", shopper_door.Shoppers.as_view(), name="shoppers"),
    path("api/v1/shoppers/<path:shopper>", shopper_door.Shopper.as_view(), name="shopper"),
    path("api/v1/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    re_path(r"^api/", NothingHere.as_view()),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]
