"""Who agrees again, later than he unsubscribed, may be written to again.

A trigger, because consents are told to engagement, which knows nothing of this app: through its API, by imports, on the preference page. Whoever
writes them cannot forget it, and it happens in the transaction that writes the consent. By statement, so that a thousand consents cost one look.
It is
lifted as of the instant at which he agreed, so that an unsubscription after that, heard of late, still counts. Bounces, complaints and what was
suppressed by hand stay: the shopper's word says nothing of them.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION notifications_consent_lifts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE notifications_suppression u SET lifted_at = f.at, lifted_by = 'consent', lift_reason = '' FROM (
        SELECT s.id, t.at FROM told t
        JOIN engagement_profile p ON p.shopper_id = t.shopper_id AND p.email <> ''
        JOIN notifications_suppression s ON s.organisation_id = t.organisation_id AND s.channel = t.channel AND s.address = lower(p.email)
        WHERE t.given AND s.why = 'unsubscribe' AND s.lifted_at IS NULL AND s.at < t.at
        ORDER BY s.id FOR UPDATE OF s) f WHERE u.id = f.id;
    RETURN NULL;
END $$;
CREATE TRIGGER lifts_added AFTER INSERT ON engagement_consentstate REFERENCING NEW TABLE AS told
    FOR EACH STATEMENT EXECUTE FUNCTION notifications_consent_lifts();
CREATE TRIGGER lifts_changed AFTER UPDATE ON engagement_consentstate REFERENCING NEW TABLE AS told
    FOR EACH STATEMENT EXECUTE FUNCTION notifications_consent_lifts();
"""
BACK = """
DROP TRIGGER lifts_added ON engagement_consentstate; DROP TRIGGER lifts_changed ON engagement_consentstate; DROP FUNCTION notifications_consent_lifts();
"""


class Migration(migrations.Migration):
    dependencies = [("notifications", "0005_campaigns_released"), ("engagement", "0011_profiles_changed")]

    operations = [migrations.RunSQL(FORWARD, BACK)]
