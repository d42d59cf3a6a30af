"""What tells people: alarms, events of AWS, the function that tells Slack, e-mail as the second way, and one page of pictures."""

from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as functions
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from deploy import names
from deploy.environments import MOST_CONNECTIONS
from deploy.parameters import parameter
from deploy.stacks.alarming import BELOW, SILENT, alarm, metric
from deploy.stacks.app import Application
from deploy.stacks.base import Stack, allowed
from deploy.stacks.data import Data, queue
from deploy.stacks.foundation import Foundation
from deploy.stacks.functions import function
from deploy.stacks.repairing import Repairing

GIB: Final = 1024**3
MINUTE: Final = cdk.Duration.minutes(1)
ERRORS: Final = elb.HttpCodeElb.ELB_5XX_COUNT
# Of the database: storage, failover, restarts, replication, failures.
DATABASE_EVENTS: Final = (
    *("0004", "0006", "0007", "0013", "0015", "0022", "0031", "0035", "0036", "0045", "0049", "0050", "0051", "0065", "0079", "0089"),
    *("0221", "0222", "0224"),
)
# Machines that come and go as they should are not worth a mail; everything else is. (Slack's function leaves them out itself.)
_USUAL: Final = ["autoscaling:EC2_INSTANCE_LAUNCH", "autoscaling:EC2_INSTANCE_TERMINATE"]
UNUSUAL: Final = {"Event": sns.FilterOrPolicy.filter(sns.SubscriptionFilter([{"anything-but": _USUAL}, {"exists": False}]))}
ENDED: Final = ["COMPLETED", "FAILED", "ABORTED", "EXPIRED", "PARTIAL"]
PATTERNS: Final[dict[str, dict[str, Any]]] = {
    "Backups": {
        "source": ["aws.backup"],
        "detail-type": ["Backup Job State Change", "Copy Job State Change", "Restore Job State Change"],
        "detail": {"$or": [{"state": ENDED}, {"status": ENDED}]},
    },
    "Database": {"source": ["aws.rds"], "detail": {"EventID": [f"RDS-EVENT-{number}" for number in DATABASE_EVENTS]}},
    "Groups": {
        "source": ["aws.autoscaling"],
        "detail-type": [
            "EC2 Instance Launch Unsuccessful",
            "EC2 Instance Terminate Unsuccessful",
            *(f"EC2 Auto Scaling Instance Refresh {how}" for how in ("Started", "Succeeded", "Failed", "Cancelled")),
        ],
    },
    "Mail": {
        "source": ["aws.ses"],
        "detail-type": ["Sending Status Enabled", "Sending Status Disabled", "Advisor Recommendation Status Open", "Advisor Recommendation Status Resolved"],
    },
    "Health": {"source": ["aws.health"], "detail-type": ["AWS Health Event"]},
}


class Observe(Stack):
    def __init__(self, scope: Construct, id: str, *, ground: Foundation, held: Data, running: Application, **given: Any) -> None:
        super().__init__(scope, id, **given)
        self.ground, self.held, self.running = ground, held, running
        self.dead = queue(self, ground, "SlackDead", self.named("atrium-{}-slack-dead"))
        self.slack = self._slack()
        self._subscriptions()
        for name, pattern in PATTERNS.items():
            self._rule(name, pattern)
        self._about_the_edge_of_the_network()
        self._about_the_database()
        self._about_work()
        self._about_telling()
        Repairing(self, ground, held)
        self._pictures()

    def alarm(self, *given: Any, **more: Any) -> cloudwatch.Alarm:
        return alarm(self, self.ground.alerts, *given, **more)

    def _slack(self) -> functions.Function:
        """One message a second is what Slack takes: so there is one of it."""
        secret = secretsmanager.Secret(
            self,
            "SlackSecret",
            secret_name=self.named(names.SLACK_SECRET),
            description="Slack's incoming webhook; put in by hand",
            encryption_key=self.ground.key,
            removal_policy=self.kept,
        )
        variables = {"SLACK_SECRET": secret.secret_name}
        made = function(
            self,
            self.ground,
            "slack",
            "Tells Slack what AWS tells",
            self.dead,
            variables,
            [allowed("secretsmanager:GetSecretValue", on=[secret.secret_arn])],
            at_once=1,
        )
        made.add_permission("Told", principal=iam.ServicePrincipal("sns.amazonaws.com"), source_arn=self.ground.alerts.topic_arn)
        return made

    def _subscriptions(self) -> None:
        """Written here: in the topic's own stack they would make a circle of stacks."""
        topic = self.ground.alerts
        sns.Subscription(self, "ToSlack", topic=topic, protocol=sns.SubscriptionProtocol.LAMBDA, endpoint=self.slack.function_arn, dead_letter_queue=self.dead)
        sns.Subscription(
            self,
            "ToPeople",
            topic=topic,
            protocol=sns.SubscriptionProtocol.EMAIL,
            endpoint=parameter(self, "OperatorsEmail"),
            filter_policy_with_message_body=UNUSUAL,
        )

    def _rule(self, name: str, pattern: dict[str, Any]) -> None:
        target = events.CfnRule.TargetProperty(id="alerts", arn=self.ground.alerts.topic_arn)
        events.CfnRule(self, f"Events{name}", description=f"{name}: to the topic of alarms", event_pattern=pattern, targets=[target])

    def _about_the_edge_of_the_network(self) -> None:
        made = self.running.balancer.made
        for name, targets in self.running.balancer.targets.items():
            unhealthy = targets.metrics.unhealthy_host_count(period=MINUTE, statistic="Maximum")
            self.alarm(f"{name}-unhealthy", unhealthy, 0, f"A machine of {name} does not answer the load balancer.", periods=5)
        slow = made.metrics.target_response_time(period=cdk.Duration.minutes(5), statistic="p95")
        self.alarm("web-slow", slow, 2, "One answer in twenty takes more than two seconds.")
        for role in names.ROLES:
            group = self.named(names.GROUP, role=role.name)
            standing = metric("AWS/AutoScaling", "GroupInServiceInstances", statistic="Minimum", AutoScalingGroupName=group)
            least = self.settings.machines[role.name].least
            self.alarm(
                "machines-missing",
                standing,
                least,
                f"There are fewer machines of {role.name} than there must be.",
                periods=10,
                way=BELOW,
                missing=SILENT,
                suffix=f"-{role.name}",
            )

    def _about_the_database(self) -> None:
        chosen, database = self.settings.database, self.held.database
        five = cdk.Duration.minutes(5)
        self.alarm("database-cpu", database.metric_cpu_utilization(period=five), 80, "The database has been busy above 80 % for a quarter of an hour.")
        room = database.metric_free_storage_space(period=five, statistic="Minimum")
        self.alarm(
            "database-storage", room, chosen.storage_gb * GIB // 10, "The database has less than a tenth of its storage left.", way=BELOW, missing=SILENT
        )
        held = database.metric_database_connections(period=MINUTE, statistic="Maximum")
        self.alarm("database-connections", held, int(0.8 * MOST_CONNECTIONS[chosen.kind]), "Four fifths of the database's connections are taken.", periods=5)
        memory = database.metric_freeable_memory(period=five, statistic="Minimum")
        self.alarm("database-memory", memory, GIB // 8, "The database has less than 128 MiB of memory left.", way=BELOW)
        for number, reader in enumerate(self.held.readers, 1):
            lag = reader.metric("ReplicaLag", period=MINUTE, statistic="Maximum")
            self.alarm("replica-lag", lag, 30, f"Reader {number} is more than 30 seconds behind: reports are old.", periods=5, suffix=f"-{number}")

    def _about_work(self) -> None:
        for name, working in self.held.queues.items():
            waits = working.metric_approximate_age_of_oldest_message(period=MINUTE, statistic="Maximum")
            self.alarm("queue-old", waits, 300, f"Nobody takes from the queue {name}: its oldest message is five minutes old.", periods=5, suffix=f"-{name}")
            self._dead(
                f"-{name}", self.held.dead[name], "dead-letters", f"A message of the queue {name} was taken {names.RECEIVED_AT_MOST} times and never confirmed."
            )
        said = metric(names.METRICS, "atrium_stream_lag_seconds", statistic="SampleCount")
        silent = "Atrium's own watch says nothing: none of its alarms can reach anybody."
        self.alarm("watch-silent", said, 1, silent, periods=10, way=BELOW, missing=SILENT)
        whole = "The whole account's sending is at stake."
        bounces = metric("AWS/SES", "Reputation.BounceRate", minutes=15, statistic="Maximum")
        self.alarm("mail-bounces", bounces, 0.04, f"More than 4 % of mails bounce; SES looks at 5 % and stops at 10 %. {whole}", periods=1)
        complaints = metric("AWS/SES", "Reputation.ComplaintRate", minutes=15, statistic="Maximum")
        self.alarm("mail-complaints", complaints, 0.0008, f"More than 0.08 % of recipients complain; SES looks at 0.1 % and stops at 0.5 %. {whole}", periods=1)

    def _dead(self, suffix: str, letters: sqs.Queue, name: str, means: str) -> None:
        waiting = letters.metric_approximate_number_of_messages_visible(period=MINUTE, statistic="Maximum")
        self.alarm(name, waiting, 0, means, periods=1, suffix=suffix)

    def _about_telling(self) -> None:
        self.alarm(
            "slack-failing", self.slack.metric_errors(period=cdk.Duration.minutes(5)), 0, "What AWS told did not reach Slack at the first try.", periods=1
        )
        self._dead("", self.dead, "slack-dead-letters", "What AWS told never reached Slack; it waits in a queue, and went by e-mail.")
        failed = self.ground.alerts.metric_number_of_notifications_failed(period=cdk.Duration.minutes(5))
        self.alarm("alerts-undelivered", failed, 0, "The topic of alarms could not hand something on.", periods=1)

    def _pictures(self) -> None:
        board = cloudwatch.Dashboard(self, "Pictures", dashboard_name=self.named("atrium-{}"))
        made, held = self.running.balancer.made, self.held
        board.add_widgets(
            picture("Requests and errors", made.metrics.request_count(), made.metrics.http_code_elb(ERRORS)),
            picture("Time to answer, p95", made.metrics.target_response_time(statistic="p95")),
            picture("Database: busy", held.database.metric_cpu_utilization()),
            picture("Database: connections", held.database.metric_database_connections()),
        )
        board.add_widgets(
            picture("Messages waiting", *(each.metric_approximate_number_of_messages_visible() for each in held.queues.values())),
            picture("Dead letters", *(each.metric_approximate_number_of_messages_visible() for each in held.dead.values())),
            picture(
                "Machines",
                *(
                    metric("AWS/AutoScaling", "GroupInServiceInstances", statistic="Average", AutoScalingGroupName=self.named(names.GROUP, role=role.name))
                    for role in names.ROLES
                ),
            ),
            picture(
                "Mail: bounces and complaints",
                *(metric("AWS/SES", f"Reputation.{kind}Rate", minutes=15, statistic="Average") for kind in ("Bounce", "Complaint")),
            ),
        )


def picture(title: str, *metrics: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(metrics), width=6)
