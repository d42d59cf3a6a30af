"""Mail by SES: the domain it comes from, the set that its events are told by, and the topic that brings them back to the application."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_ses as ses
from aws_cdk import aws_sns as sns
from constructs import Construct

from deploy import names
from deploy.parameters import parameter
from deploy.stacks.base import Stack, service
from deploy.stacks.foundation import Foundation

EVENTS = ("BOUNCE", "COMPLAINT", "DELIVERY", "DELIVERY_DELAY", "REJECT", "RENDERING_FAILURE")


class Post(Construct):
    def __init__(self, stack: Stack, ground: Foundation) -> None:
        super().__init__(stack, "Post")
        self.stack_of, self.ground = stack, ground
        self.domain = parameter(self, "Domain")
        self.identity = ses.CfnEmailIdentity(
            self,
            "Identity",
            email_identity=self.domain,
            dkim_signing_attributes=ses.CfnEmailIdentity.DkimSigningAttributesProperty(next_signing_key_length="RSA_2048_BIT"),
            mail_from_attributes=ses.CfnEmailIdentity.MailFromAttributesProperty(
                mail_from_domain=f"mail.{self.domain}", behavior_on_mx_failure="USE_DEFAULT_VALUE"
            ),
        )
        self.set = ses.CfnConfigurationSet(
            self,
            "Set",
            name=stack.named("atrium-{}"),
            delivery_options=ses.CfnConfigurationSet.DeliveryOptionsProperty(tls_policy="REQUIRE"),
            reputation_options=ses.CfnConfigurationSet.ReputationOptionsProperty(reputation_metrics_enabled=True),
            sending_options=ses.CfnConfigurationSet.SendingOptionsProperty(sending_enabled=True),
            suppression_options=ses.CfnConfigurationSet.SuppressionOptionsProperty(suppressed_reasons=["BOUNCE", "COMPLAINT"]),
        )
        self.feedback = self._feedback()
        self._records()

    def _feedback(self) -> sns.Topic:
        topic = sns.Topic(self, "Feedback", topic_name=self.stack_of.named(names.TOPICS["feedback"]), master_key=self.ground.key, enforce_ssl=True)
        topic.add_to_resource_policy(iam.PolicyStatement(actions=["sns:Publish"], principals=[service("ses.amazonaws.com")], resources=[topic.topic_arn]))
        told = ses.CfnConfigurationSetEventDestination(
            self,
            "Events",
            configuration_set_name=self.set.ref,
            event_destination=ses.CfnConfigurationSetEventDestination.EventDestinationProperty(
                name="feedback",
                enabled=True,
                matching_event_types=list(EVENTS),
                sns_destination=ses.CfnConfigurationSetEventDestination.SnsDestinationProperty(topic_arn=topic.topic_arn),
            ),
        )
        told.node.add_dependency(topic.node.find_child("Policy"))  # SES tries it at once
        sns.CfnSubscription(self, "ToTheApplication", topic_arn=topic.topic_arn, protocol="https", endpoint=f"https://{self.domain}{names.FEEDBACK}")
        return topic

    def _records(self) -> None:
        """DKIM, SPF of the bounce address, and DMARC: what large providers ask of senders of many."""
        for number in (1, 2, 3):
            name, value = (getattr(self.identity, f"attr_dkim_dns_token_{part}{number}") for part in ("name", "value"))
            self._record(f"Dkim{number}", name, "CNAME", value)
        self._record("MailFromMx", f"mail.{self.domain}", "MX", f"10 feedback-smtp.{cdk.Aws.REGION}.amazonses.com")
        self._record("MailFromSpf", f"mail.{self.domain}", "TXT", '"v=spf1 include:amazonses.com ~all"')
        self._record("Dmarc", f"_dmarc.{self.domain}", "TXT", '"v=DMARC1; p=quarantine"')

    def _record(self, id: str, name: str, kind: str, value: str) -> None:
        route53.CfnRecordSet(self, id, hosted_zone_id=parameter(self, "HostedZone"), name=name, type=kind, ttl="3600", resource_records=[value])
