"""The load balancer: the only door of the network, and only for CloudFront."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_route53 as route53
from constructs import Construct

from deploy import names
from deploy.parameters import parameter
from deploy.stacks.alarming import alarm
from deploy.stacks.base import Stack
from deploy.stacks.foundation import Foundation, joined

# Which role answers what, first match first; everything without CloudFront's header is refused.
RULES: Final = (("Feedback", 10, "web", [names.FEEDBACK]), ("Door", 20, "door", [names.DOOR]), ("Pages", 30, "web", ["/*"]))


class Balancer(Construct):
    def __init__(self, stack: Stack, ground: Foundation) -> None:
        super().__init__(stack, "Balancer")
        self.stack_of, self.ground = stack, ground
        self.group = ec2.SecurityGroup(self, "Group", vpc=ground.network, description="The load balancer", allow_all_outbound=False)
        self.group.add_ingress_rule(ec2.Peer.prefix_list(parameter(self, "CloudFrontPrefixList")), ec2.Port.tcp(443), "CloudFront alone")
        self.made = self._balancer()
        self.targets = {role.name: self._targets(role) for role in names.ROLES if role.port}
        self._listener()
        self._address()

    def _balancer(self) -> elb.ApplicationLoadBalancer:
        made = elb.ApplicationLoadBalancer(
            self,
            "LoadBalancer",
            vpc=self.ground.network,
            internet_facing=True,
            security_group=self.group,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC),
            deletion_protection=self.stack_of.settings.protected,
            drop_invalid_header_fields=True,
            desync_mitigation_mode=elb.DesyncMitigationMode.STRICTEST,
            idle_timeout=cdk.Duration.seconds(names.IDLE_S),
        )
        made.log_access_logs(self.ground.access_logs, prefix="load-balancer")
        return made

    def _targets(self, role: names.Role) -> elb.ApplicationTargetGroup:
        """Asked at an address that touches nothing: an hour without the database must not end a single machine."""
        joined(self.stack_of, f"BalancerTo{role.name.title()}", self.group, self.ground.machines, role.port or 0)
        return elb.ApplicationTargetGroup(
            self,
            f"Targets-{role.name}",
            vpc=self.ground.network,
            port=role.port,
            protocol=elb.ApplicationProtocol.HTTP,
            target_type=elb.TargetType.INSTANCE,
            deregistration_delay=cdk.Duration.seconds(60),
            slow_start=cdk.Duration.seconds(30),
            health_check=elb.HealthCheck(
                path=names.LIVE,
                healthy_http_codes="200",
                interval=cdk.Duration.seconds(10),
                timeout=cdk.Duration.seconds(5),
                healthy_threshold_count=2,
                unhealthy_threshold_count=3,
            ),
        )

    def _listener(self) -> None:
        listener = self.made.add_listener(
            "Https",
            port=443,
            open=False,
            certificates=[elb.ListenerCertificate.from_arn(parameter(self, "Certificate"))],
            ssl_policy=elb.SslPolicy.TLS13_RES,
            default_action=elb.ListenerAction.fixed_response(403, content_type="text/plain", message_body="This address is not for you."),
        )
        origin = elb.ListenerCondition.http_header(names.ORIGIN_HEADER, [parameter(self, "OriginKey")])
        for name, priority, role, paths in RULES:
            conditions = [origin, elb.ListenerCondition.path_patterns(paths)]
            listener.add_action(name, priority=priority, conditions=conditions, action=elb.ListenerAction.forward([self.targets[role]]))

    def _address(self) -> None:
        for kind in ("A",):  # the balancer has no IPv6: CloudFront, in front of it, has
            route53.CfnRecordSet(
                self,
                f"Origin{kind}",
                hosted_zone_id=parameter(self, "HostedZone"),
                name=f"{names.ORIGIN}.{parameter(self, 'Domain')}",
                type=kind,
                alias_target=route53.CfnRecordSet.AliasTargetProperty(
                    dns_name=self.made.load_balancer_dns_name, hosted_zone_id=self.made.load_balancer_canonical_hosted_zone_id, evaluate_target_health=False
                ),
            )

    def alarms(self) -> list[cloudwatch.Alarm]:
        """Those that call a release back."""
        per_minute = cdk.Duration.minutes(1)
        errors = elb.HttpCodeTarget.TARGET_5XX_COUNT
        found = [
            alarm(
                self.stack_of,
                self.ground.alerts,
                f"{name}-errors",
                targets.metrics.http_code_target(errors, period=per_minute, statistic="Sum"),
                10,
                f"The machines of {name} answer with errors, more than ten a minute.",
            )
            for name, targets in self.targets.items()
        ]
        refused = self.made.metrics.http_code_elb(elb.HttpCodeElb.ELB_5XX_COUNT, period=per_minute, statistic="Sum")
        said = "The load balancer itself answers with errors: no machine takes what it passes on."
        return [*found, alarm(self.stack_of, self.ground.alerts, "load-balancer-errors", refused, 10, said)]
