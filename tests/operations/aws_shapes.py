"""One event of every shape that AWS sends, with values of our own, and what is to be read of it."""

import json
from typing import Final

from tests.operations.aws_envelopes import ACCOUNT, REGION, TOKEN, Json, by_bridge, by_http, by_topic, sns

SHOPPER: Final = "nomsa.dlamini@shopper.example"
ALARM_ARN: Final = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:web-5xx"
VAULT: Final = f"arn:aws:backup:{REGION}:{ACCOUNT}:backup-vault:atrium"
FILES: Final = f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:file-system/fs-0a1b"
GROUP: Final = "atrium-prod-web"


def alarm(**changed: Json) -> Json:
    trigger = {
        "MetricName": "HTTPCode_Target_5XX_Count",
        "Namespace": "AWS/ApplicationELB",
        "StatisticType": "Statistic",
        "Statistic": "SUM",
        "Unit": None,
        "Dimensions": [{"value": "app/atrium-prod/1", "name": "LoadBalancer"}],
        "Period": 60,
        "EvaluationPeriods": 3,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 5.0,
        "TreatMissingData": "notBreaching",
        "EvaluateLowSampleCountPercentile": "",
    }
    return {
        "AlarmName": "web-5xx",
        "AlarmDescription": "The web servers answer with errors.",
        "AWSAccountId": ACCOUNT,
        "AlarmConfigurationUpdatedTimestamp": "2026-10-01T00:00:00.000+0000",
        "NewStateValue": "ALARM",
        "NewStateReason": "Threshold Crossed: 3 datapoints were greater than the threshold (5.0).",
        "StateChangeTime": "2026-11-03T04:05:06.472+0000",
        "Region": "Africa (Cape Town)",
        "AlarmArn": ALARM_ARN,
        "OldStateValue": "OK",
        "OKActions": [],
        "AlarmActions": [],
        "InsufficientDataActions": [],
        "Trigger": trigger,
        **changed,
    }


MATHS: Final = {
    "Metrics": [
        {"Id": "e1", "Expression": "m1/m2", "ReturnData": True},
        {"Id": "m1", "MetricStat": {"Metric": {"Namespace": "AWS/SQS", "MetricName": "ApproximateNumberOfMessagesVisible"}, "Period": 60, "Stat": "Sum"}},
    ]
}
BRIDGED_ALARM: Final = {
    "alarmName": "web-5xx",
    "configuration": {
        "description": "The web servers answer with errors.",
        "metrics": [
            {
                "id": "m",
                "metricStat": {"metric": {"namespace": "AWS/ApplicationELB", "name": "5XX", "dimensions": {}}, "period": 60, "stat": "Sum"},
                "returnData": True,
            }
        ],
    },
    "previousState": {"value": "ALARM", "reason": "Too many.", "reasonData": '{"version":"1.0"}', "timestamp": "2026-11-03T04:00:00.000+0000"},
    "state": {"value": "OK", "reason": "Few again.", "timestamp": "2026-11-03T04:05:06.000+0000"},
}
DIRECT_ALARM: Final = {
    "source": "aws.cloudwatch",
    "alarmArn": ALARM_ARN,
    "accountId": ACCOUNT,
    "time": "2026-11-03T04:05:06.490+0000",
    "region": REGION,
    "alarmData": BRIDGED_ALARM,
}
BACKUP: Final = {
    "backupJobId": "b0b1b2b3-0000-1111-2222-333344445555",
    "backupVaultArn": VAULT,
    "backupVaultName": "atrium",
    "bytesTransferred": "0",
    "creationDate": "2026-11-03T03:00:00.000Z",
    "iamRoleArn": f"arn:aws:iam::{ACCOUNT}:role/backup",
    "resourceArn": FILES,
    "resourceType": "EFS",
    "state": "FAILED",
    "statusMessage": '"Access denied" to the file system',
    "startBy": "2026-11-03T11:00:00.000Z",
    "percentDone": 0,
    "retryCount": 2,
}
COMPLETED: Final = {
    **BACKUP,
    "state": "COMPLETED",
    "statusMessage": "",
    "backupSizeInBytes": "36048",
    "completionDate": "2026-11-03T04:01:00.000Z",
    "createdBy": {"backupPlanId": "p", "backupPlanArn": "a", "backupPlanVersion": "v", "backupPlanRuleId": "r"},
}
COPY: Final = {
    "copyJobId": "c0c1",
    "backupSizeInBytes": 36048,
    "resourceArn": FILES,
    "resourceType": "EFS",
    "sourceBackupVaultArn": VAULT,
    "destinationBackupVaultArn": VAULT,
    "destinationRecoveryPointArn": {},
    "state": "RUNNING",
    "statusMessage": None,
}
RESTORE: Final = {
    "restoreJobId": "d0d1",
    "backupSizeInBytes": "0",
    "percentDone": 100,
    "resourceType": "RDS",
    "status": "COMPLETED",
    "createdResourceArn": f"arn:aws:rds:{REGION}:{ACCOUNT}:db:atrium-2",
    "completionDate": "2026-11-03T05:00:00Z",
}
VAULT_PROSE: Final = f"An AWS Backup job failed. Resource ARN : {FILES}. BackupJob ID : 1b23-45"
DATABASE: Final = {
    "EventCategories": ["failover"],
    "SourceType": "DB_INSTANCE",
    "SourceArn": f"arn:aws:rds:{REGION}:{ACCOUNT}:db:atrium-prod",
    "Date": "2026-11-03T04:05:06.000Z",
    "Message": "A Multi-AZ failover has started.",
    "SourceIdentifier": "atrium-prod",
    "EventID": "RDS-EVENT-0013",
}
DATABASE_BLANKS: Final = {
    "Event Source": "db-instance",
    "Event Time": "2026-11-03 04:05:06.000",
    "Identifier Link": f"https://console.aws.amazon.com/rds/home?region={REGION}#dbinstance:id=atrium-prod\nSourceId: atrium-prod",
    "Source ID": "atrium-prod",
    "Source ARN": f"arn:aws:rds:{REGION}:{ACCOUNT}:db:atrium-prod",
    "Event ID": "http://docs.example.com/AmazonRDS/latest/UserGuide/USER_Events.html#RDS-EVENT-0007",
    "Event Message": "The DB instance has consumed all available storage.",
}
ACTIVITY: Final = {
    "StatusCode": "Failed",
    "AutoScalingGroupName": GROUP,
    "ActivityId": "87654321-4321",
    "Details": {"Availability Zone": "af-south-1b", "Subnet ID": "subnet-1"},
    "RequestId": "12345678-1234",
    "StatusMessage": "Insufficient capacity.",
    "EndTime": "2026-11-03T04:05:00Z",
    "EC2InstanceId": "i-0123456789abcdef0",
    "StartTime": "2026-11-03T04:04:00Z",
    "Cause": "An instance was started to keep two.",
    "Description": "Launching a new EC2 instance.",
}
FLAT_ACTIVITY: Final = {
    "Service": "AWS Auto Scaling",
    "Time": "2026-11-03T04:05:06Z",
    "Event": "autoscaling:EC2_INSTANCE_TERMINATE",
    "AccountId": ACCOUNT,
    "AutoScalingGroupARN": f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:u:autoScalingGroupName/{GROUP}",
    **ACTIVITY,
}
LIFECYCLE: Final = {
    "LifecycleActionToken": TOKEN,
    "AutoScalingGroupName": GROUP,
    "LifecycleHookName": "drain",
    "EC2InstanceId": "i-0123456789abcdef0",
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
    "NotificationMetadata": "",
    "Origin": "AutoScalingGroup",
    "Destination": "EC2",
}
REFRESH: Final = {"InstanceRefreshId": "ab00cf8f-9126", "AutoScalingGroupName": GROUP, "CheckpointPercentage": "50", "CheckpointDelay": "300"}
MAIL: Final = {
    "timestamp": "2026-11-03T04:05:00.000Z",
    "source": "news@mall.example",
    "sendingAccountId": ACCOUNT,
    "messageId": "0102018c-mail",
    "destination": [SHOPPER],
    "headers": [{"name": "To", "value": SHOPPER}],
    "commonHeaders": {"to": [SHOPPER], "subject": "For Nomsa"},
    "tags": {"ses:configuration-set": ["atrium-prod"]},
}
RECIPIENT: Final = {"emailAddress": SHOPPER, "action": "failed", "status": "5.1.1", "diagnosticCode": f"smtp; 550 5.1.1 <{SHOPPER}> unknown"}
BOUNCE: Final = {
    "eventType": "Bounce",
    "bounce": {
        "bounceType": "Permanent",
        "bounceSubType": "General",
        "bouncedRecipients": [RECIPIENT, RECIPIENT],
        "timestamp": "2026-11-03T04:05:06.000Z",
        "feedbackId": "f",
        "reportingMTA": "dns; mta",
    },
    "mail": MAIL,
}
COMPLAINT: Final = {
    "notificationType": "Complaint",
    "complaint": {"complainedRecipients": [{"emailAddress": SHOPPER}], "complaintFeedbackType": "abuse"},
    "mail": MAIL,
}
DELAY: Final = {"eventType": "DeliveryDelay", "mail": MAIL, "deliveryDelay": {"delayType": "MailboxFull", "delayedRecipients": [RECIPIENT]}}
TEMPLATE: Final = {"eventType": "Rendering Failure", "mail": MAIL, "failure": {"templateName": "welcome", "errorMessage": f"No 'name' for {SHOPPER}."}}
CONFIRMATION: Final = {
    "Type": "SubscriptionConfirmation",
    "MessageId": "m",
    "Token": TOKEN,
    "TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:atrium-alerts",
    "Message": "You have chosen to subscribe.",
    "SubscribeURL": f"https://sns.{REGION}.amazonaws.com/?Action=ConfirmSubscription&Token={TOKEN}",
    "Timestamp": "2026-11-03T04:05:06Z",
}
HEALTH: Final = {
    "service": "RDS",
    "eventTypeCode": "AWS_RDS_OPERATIONAL_ISSUE",
    "eventTypeCategory": "issue",
    "eventDescription": [{"language": "en_US", "latestDescription": "Connectivity is impaired."}],
}
OWN: Final = {"title": "Disk of i-0a cleared", "body": "Old files went.", "remedy": "Look why it filled.", "level": "warning"}
STRANGE: Final = {
    "flower": "daisy",
    "password": "hunter2hunter2",
    "nested": {"apiKey": "k", "petals": [5, 8], "note": f"ask {SHOPPER}, token={TOKEN}"},
    "link": f"https://hooks.example.com/services/T0/{TOKEN}",
}
TEST: Final = {"Service": "AWS Auto Scaling", "Event": "autoscaling:TEST_NOTIFICATION", "AutoScalingGroupName": GROUP, "Time": "2026-11-03T04:05:06Z"}

# Of each: the event, the shape that knows it, its mark, its title, and what its body says.
SEEN: Final[dict[str, tuple[Json, str, str, str, str]]] = {
    "alarm by topic": (by_topic(alarm()), "alarm", "🔴", "web-5xx: firing", "AWS/ApplicationELB HTTPCode_Target_5XX_Count of LoadBalancer app/atrium-prod/1"),
    "alarm posted": (by_http(alarm(NewStateValue="OK", OldStateValue="ALARM")), "alarm", "🟢", "web-5xx: over", "Before: firing"),
    "alarm without data": (by_topic(alarm(NewStateValue="INSUFFICIENT_DATA")), "alarm", "🟠", "web-5xx: no data", "The web servers answer with errors."),
    "alarm of a sum": (by_topic(alarm(Trigger=MATHS)), "alarm", "🔴", "web-5xx: firing", "Reads: m1/m2, AWS/SQS ApproximateNumberOfMessagesVisible"),
    "alarm of alarms": (by_topic(alarm(Trigger=None, AlarmRule="ALARM(a) OR ALARM(b)")), "alarm", "🔴", "web-5xx: firing", "Rule: ALARM(a) OR ALARM(b)"),
    "alarm by bridge": (by_bridge("aws.cloudwatch", "CloudWatch Alarm State Change", BRIDGED_ALARM, ALARM_ARN), "alarm", "🟢", "web-5xx: over", "Few again."),
    "alarm directly": (DIRECT_ALARM, "alarm", "🟢", "web-5xx: over", "AWS/ApplicationELB 5XX"),
    "backup failed": (by_bridge("aws.backup", "Backup Job State Change", BACKUP), "backup", "🔴", "Backup of EFS: failed", '"Access denied"'),
    "backup completed": (by_bridge("aws.backup", "Backup Job State Change", COMPLETED, FILES), "backup", "🟢", "Backup of EFS: completed", "Bytes: 36048"),
    "backup with issues": (
        by_bridge("aws.backup", "Backup Job State Change", {**COMPLETED, "statusMessage": "Some files."}),
        "backup",
        "🟠",
        "Backup of EFS: completed with issues",
        "Why: Some files.",
    ),
    "backup begun": (
        by_bridge("aws.backup", "Backup Job State Change", {"backupJobId": "b", "state": "CREATED"}),
        "backup",
        "🔵",
        "Backup of a resource: created",
        "Job: b",
    ),
    "copy": (by_topic(by_bridge("aws.backup", "Copy Job State Change", COPY)), "backup", "🔵", "Copy of a backup of EFS: running", "Job: c0c1"),
    "restore": (by_bridge("aws.backup", "Restore Job State Change", RESTORE), "backup", "🟢", "Restore of RDS: completed", ":db:atrium-2"),
    "backup in prose": (
        by_topic(
            VAULT_PROSE,
            "Notification from AWS Backup",
            EventType="BACKUP_JOB",
            State="FAILED",
            AccountId=ACCOUNT,
            Id="1b23-45",
            StartTime="2026-11-03T03:00:00Z",
        ),
        "backup-prose",
        "🔴",
        "Backup: failed",
        "Began: 2026-11-03T03:00:00Z",
    ),
    "copy in prose": (
        by_topic("A copy came to an end.", None, eventType="copy_job", state="COMPLETED"),
        "backup-prose",
        "🟢",
        "Copy of a backup: completed",
        "A copy came",
    ),
    "database": (by_bridge("aws.rds", "RDS DB Instance Event", DATABASE), "database", "🟠", "Database atrium-prod", "RDS-EVENT-0013"),
    "database, unnumbered": (
        by_bridge("aws.rds", "RDS DB Snapshot Event", {"EventCategories": ["failure"], "Message": "It went wrong."}),
        "database",
        "🔴",
        "Database",
        "About: failure",
    ),
    "database, blanks in keys": (
        by_topic(DATABASE_BLANKS, "RDS Notification Message"),
        "database",
        "🔴",
        "Database atrium-prod",
        "consumed all available storage",
    ),
    "launch failed": (
        by_bridge("aws.autoscaling", "EC2 Instance Launch Unsuccessful", ACTIVITY),
        "instances",
        "🔴",
        f"{GROUP}: EC2 Instance Launch Unsuccessful",
        "Zone: af-south-1b",
    ),
    "terminated, flat": (by_topic(FLAT_ACTIVITY), "instances", "🔵", f"{GROUP}: ec2 instance terminate", "Instance: i-0123456789abcdef0"),
    "launch failed, flat": (
        by_topic({**FLAT_ACTIVITY, "Event": "autoscaling:EC2_INSTANCE_LAUNCH_ERROR"}),
        "instances",
        "🔴",
        f"{GROUP}: ec2 instance launch error",
        "Insufficient capacity.",
    ),
    "test of a group": (by_topic(TEST), "instances", "🔵", f"{GROUP}: test notification", "AWS said nothing more."),
    "going": (
        by_bridge("aws.autoscaling", "EC2 Instance-terminate Lifecycle Action", LIFECYCLE),
        "lifecycle",
        "🔵",
        f"{GROUP}: an instance finishes its work before it goes",
        "Hook: drain",
    ),
    "coming, flat": (
        by_topic({"Service": "AWS Auto Scaling", **LIFECYCLE, "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}),
        "lifecycle",
        "🔵",
        f"{GROUP}: an instance gets ready",
        "Hook: drain",
    ),
    "refresh": (
        by_bridge("aws.autoscaling", "EC2 Auto Scaling Instance Refresh Checkpoint Reached", REFRESH),
        "refresh",
        "🔵",
        f"{GROUP}: replacing its instances checkpoint reached",
        "Reached: 50 %",
    ),
    "refresh failed": (
        by_bridge("aws.autoscaling", "EC2 Auto Scaling Instance Refresh Failed", REFRESH),
        "refresh",
        "🔴",
        f"{GROUP}: replacing its instances failed",
        "ab00cf8f",
    ),
    "bounce": (by_topic(BOUNCE), "mail", "🟠", "Mail: Bounce", "Kind: Permanent General\nRecipients: 2\nConfiguration set: atrium-prod"),
    "bounce by bridge": (by_bridge("aws.ses", "Email Bounced", BOUNCE), "mail", "🟠", "Mail: Bounce", "Recipients: 2"),
    "complaint": (by_http(COMPLAINT), "mail", "🟠", "Mail: Complaint", "Kind: abuse\nRecipients: 1"),
    "delay": (by_topic(DELAY), "mail", "🟠", "Mail: DeliveryDelay", "Kind: MailboxFull"),
    "template": (by_topic(TEMPLATE), "mail", "🟠", "Mail: Rendering Failure", "Why: No 'name' for (an address)."),
    "inbound": (by_topic({"notificationType": "Received"}), "mail", "🔵", "Mail: Received", "AWS said nothing more."),
    "sending stopped": (
        by_bridge("aws.ses", "Sending Status Disabled", {"version": "1.0.0", "origin": "reputation"}),
        "mail-account",
        "🔴",
        "Mail: Sending Status Disabled",
        "origin: reputation",
    ),
    "advice": (
        by_bridge("aws.ses", "Advisor Recommendation Status Open", {"data": {"type": "DKIM"}}),
        "mail-account",
        "🟠",
        "Mail: Advisor Recommendation Status Open",
        "data type: DKIM",
    ),
    "health": (by_bridge("aws.health", "AWS Health Event", HEALTH), "health", "🟠", "AWS: RDS: AWS_RDS_OPERATIONAL_ISSUE", "Connectivity is impaired."),
    "confirmation": (CONFIRMATION, "confirmation", "🟠", "Messages of AWS", "A subscription waits for the topic atrium-alerts."),
    "subscription ended": (
        {**CONFIRMATION, "Type": "UnsubscribeConfirmation"},
        "confirmation",
        "🟠",
        "Messages of AWS",
        "A subscription ended for the topic atrium-alerts.",
    ),
    "own": (by_topic(by_bridge("atrium.repair", "Repair", OWN)), "own", "🟠", "Disk of i-0a cleared", "Old files went."),
    "from a queue": ({"Records": [{"eventSource": "aws:sqs", "body": json.dumps(sns(alarm()))}]}, "alarm", "🔴", "web-5xx: firing", "Threshold Crossed"),
    "unknown kind": (by_bridge("aws.gardens", "Flower Opened", STRANGE), "event", "⚪", "aws.gardens Flower Opened", "flower: daisy"),
    "unknown object": (by_topic(STRANGE, "About flowers"), "event", "⚪", "About flowers", "nested petals 2: 8"),
    "words": (by_topic("Hello from a topic.", "Greetings"), "text", "⚪", "Greetings", "Hello from a topic.\nTopic: atrium-alerts"),
    "nothing": (None, "text", "⚪", "A message", "AWS said nothing more."),
    "a list": ([1, {"a": 2}], "event", "⚪", "A message of a kind not yet known", "2 a: 2"),
}
