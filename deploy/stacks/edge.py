"""What the world reaches: CloudFront near the people, its firewall, and the records of the site. In the one region that CloudFront is ruled from.

It knows the load balancer and the bucket by their names alone, so no reference crosses regions.
"""

from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_logs as logs
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from deploy import names
from deploy.parameters import parameter
from deploy.stacks.base import Stack
from deploy.stacks.foundation import RETENTION

CLOUDFRONT_ZONE: Final = "Z2FDTNDATAQYW2"  # Route 53's own zone of all distributions, the same everywhere
# Requests of one address in five minutes. A mall's Wi-Fi is one address for all who are in it.
RATE: Final = 20_000
RATE_OF_LOGINS: Final = 300
# Counted and let through: batches of events are long, devices do not say what they are, and people who write mails write HTML and whole sentences.
COUNTED_ONLY: Final = {
    "AWSManagedRulesCommonRuleSet": ["SizeRestrictions_BODY", "NoUserAgent_HEADER", "CrossSiteScripting_BODY", "GenericRFI_BODY"],
    "AWSManagedRulesSQLiRuleSet": ["SQLi_BODY"],
}
RULE_GROUPS: Final = (
    "AWSManagedRulesAmazonIpReputationList",
    "AWSManagedRulesCommonRuleSet",
    "AWSManagedRulesKnownBadInputsRuleSet",
    "AWSManagedRulesSQLiRuleSet",
)


class Edge(Stack):
    def __init__(self, scope: Construct, id: str, **given: Any) -> None:
        super().__init__(scope, id, **given)
        self.domain = parameter(self, "Domain")
        self.firewall = self._firewall()
        self.distribution = self._distribution()
        self._records()

    def _firewall(self) -> waf.CfnWebACL:
        rules = [self._managed(number, name) for number, name in enumerate(RULE_GROUPS)]
        rules += [self._rate(len(rules), "Rate", RATE, None), self._rate(len(rules) + 1, "Logins", RATE_OF_LOGINS, "/admin/login/")]
        made = waf.CfnWebACL(
            self,
            "Firewall",
            name=self.named("atrium-{}"),
            scope="CLOUDFRONT",
            default_action=waf.CfnWebACL.DefaultActionProperty(allow={}),
            visibility_config=_visible("firewall"),
            rules=rules,
        )
        written = logs.LogGroup(
            self, "FirewallLog", log_group_name=f"aws-waf-logs-{self.named('atrium-{}')}", retention=RETENTION[self.settings.log_days], removal_policy=self.kept
        )
        place = self.format_arn(service="logs", resource="log-group", arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME, resource_name=written.log_group_name)
        hidden = [{"singleHeader": {"Name": name}} for name in ("authorization", "cookie")]
        waf.CfnLoggingConfiguration(self, "FirewallLogging", resource_arn=made.attr_arn, log_destination_configs=[place], redacted_fields=hidden)
        return made

    def _managed(self, priority: int, name: str) -> waf.CfnWebACL.RuleProperty:
        kind = waf.CfnWebACL
        counted = [kind.RuleActionOverrideProperty(name=rule, action_to_use=kind.RuleActionProperty(count={})) for rule in COUNTED_ONLY.get(name, [])]
        group = kind.ManagedRuleGroupStatementProperty(vendor_name="AWS", name=name, rule_action_overrides=counted or None)
        return kind.RuleProperty(
            name=name,
            priority=priority,
            override_action=kind.OverrideActionProperty(none={}),
            statement=kind.StatementProperty(managed_rule_group_statement=group),
            visibility_config=_visible(name),
        )

    def _rate(self, priority: int, name: str, limit: int, path: str | None) -> waf.CfnWebACL.RuleProperty:
        kind = waf.CfnWebACL
        narrowed = path and kind.StatementProperty(
            byte_match_statement=kind.ByteMatchStatementProperty(
                field_to_match=kind.FieldToMatchProperty(uri_path={}),
                positional_constraint="STARTS_WITH",
                search_string=path,
                text_transformations=[kind.TextTransformationProperty(priority=0, type="NORMALIZE_PATH")],
            )
        )
        statement = kind.RateBasedStatementProperty(limit=limit, aggregate_key_type="IP", scope_down_statement=narrowed or None)
        return kind.RuleProperty(
            name=name,
            priority=priority,
            action=kind.RuleActionProperty(block={"customResponse": {"responseCode": 429}}),
            statement=kind.StatementProperty(rate_based_statement=statement),
            visibility_config=_visible(name),
        )

    def _distribution(self) -> cloudfront.Distribution:
        behind = origins.HttpOrigin(
            f"{names.ORIGIN}.{self.domain}",
            protocol_policy=cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
            origin_ssl_protocols=[cloudfront.OriginSslPolicy.TLS_V1_2],
            custom_headers={names.ORIGIN_HEADER: parameter(self, "OriginKey")},
            keepalive_timeout=cdk.Duration.seconds(50),  # shorter than the load balancer's, which would else cut a request
            read_timeout=cdk.Duration.seconds(60),
        )
        bucket = s3.Bucket.from_bucket_attributes(self, "Static", bucket_name=self.bucket_name("static"), region=self.settings.region)
        static = origins.S3BucketOrigin.with_origin_access_control(bucket)
        secure = cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS
        return cloudfront.Distribution(
            self,
            "Distribution",
            comment=self.named("atrium-{}"),
            domain_names=[self.domain],
            certificate=_certificate(self),
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
            price_class=cloudfront.PriceClass.PRICE_CLASS_ALL,  # the cheaper ones have no place in Africa
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            web_acl_id=self.firewall.attr_arn,
            log_bucket=self._log_bucket(),
            log_file_prefix="cloudfront/",
            default_behavior=cloudfront.BehaviorOptions(
                origin=behind,
                viewer_protocol_policy=secure,
                allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
                cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
                origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER,
                response_headers_policy=cloudfront.ResponseHeadersPolicy.SECURITY_HEADERS,
            ),
            additional_behaviors={
                names.STATIC: cloudfront.BehaviorOptions(
                    origin=static,
                    viewer_protocol_policy=secure,
                    cache_policy=cloudfront.CachePolicy.CACHING_OPTIMIZED,
                    response_headers_policy=cloudfront.ResponseHeadersPolicy.SECURITY_HEADERS,
                )
            },
        )

    def _log_bucket(self) -> s3.Bucket:
        """CloudFront writes with an access list, which only this kind of ownership allows."""
        return s3.Bucket(
            self,
            "Logs",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_PREFERRED,
            lifecycle_rules=[s3.LifecycleRule(expiration=cdk.Duration.days(self.settings.log_days))],
            removal_policy=self.kept,
        )

    def _records(self) -> None:
        for kind in ("A", "AAAA"):
            target = route53.CfnRecordSet.AliasTargetProperty(
                dns_name=self.distribution.distribution_domain_name, hosted_zone_id=CLOUDFRONT_ZONE, evaluate_target_health=False
            )
            route53.CfnRecordSet(self, f"Site{kind}", hosted_zone_id=parameter(self, "HostedZone"), name=self.domain, type=kind, alias_target=target)


def _certificate(stack: Stack) -> acm.ICertificate:
    return acm.Certificate.from_certificate_arn(stack, "SiteCertificate", parameter(stack, "Certificate"))


def _visible(name: str) -> waf.CfnWebACL.VisibilityConfigProperty:
    return waf.CfnWebACL.VisibilityConfigProperty(cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=False)
