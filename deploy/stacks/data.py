"""What holds data: the database and its readers, the shared files, buckets, queues, and the backups of all of it."""

from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_backup as backup
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_efs as efs
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from deploy import names
from deploy.stacks.base import Stack, service
from deploy.stacks.foundation import RETENTION, Foundation, joined

POSTGRES: Final = rds.PostgresEngineVersion.VER_16_13  # with its minor version; RDS takes newer ones by itself in the window below
DEAD_DAYS: Final = cdk.Duration.days(14)
ISOLATED: Final = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
# In UTC, apart from each other: a backup during maintenance would wait for it, or fail.
DATABASE_BACKUP: Final = "22:00-22:30"
MAINTENANCE: Final = "sun:00:00-sun:01:00"
BACKUP_HOUR: Final = "2"
TAG: Final = ("backup", "daily")


class Data(Stack):
    def __init__(self, scope: Construct, id: str, *, ground: Foundation, **given: Any) -> None:
        super().__init__(scope, id, **given)
        self.ground = ground
        self.database_group = ec2.SecurityGroup(self, "DatabaseGroup", vpc=ground.network, description="The database", allow_all_outbound=False)
        joined(self, "MachinesToDatabase", ground.machines, self.database_group, names.DATABASE_PORT)
        watching = iam.ManagedPolicy.from_aws_managed_policy_name("service-role/AmazonRDSEnhancedMonitoringRole")
        self.watcher = iam.Role(self, "Watcher", assumed_by=service("monitoring.rds.amazonaws.com"), managed_policies=[watching])
        self.database = self._database()
        self.readers = [self._reader(number) for number in range(self.settings.database.readers)]
        self.files, self.files_entry = self._files()
        self.artifacts = self._bucket("Artifacts", "artifacts", versioned=True)
        self.uploads = self._uploads()
        self.static = self._static()
        self.dead, self.queues = self._queues()
        self._backups()

    def _database(self) -> rds.DatabaseInstance:
        chosen = self.settings.database
        engine = rds.DatabaseInstanceEngine.postgres(version=POSTGRES)
        parameters = rds.ParameterGroup(
            self,
            "Parameters",
            engine=engine,
            description="TLS always; slow statements in the log, without what they were asked with",
            parameters={
                "rds.force_ssl": "1",
                "log_min_duration_statement": "1000",
                "log_parameter_max_length": "0",
                "idle_in_transaction_session_timeout": "60000",
            },
        )
        made = rds.DatabaseInstance(
            self,
            "Database",
            engine=engine,
            instance_identifier=self.named("atrium-{}"),
            instance_type=ec2.InstanceType(chosen.kind),
            vpc=self.ground.network,
            vpc_subnets=ISOLATED,
            security_groups=[self.database_group],
            port=names.DATABASE_PORT,
            database_name=names.DATABASE_NAME,
            credentials=rds.Credentials.from_generated_secret(
                names.DATABASE_MASTER, secret_name=self.named("atrium-{}-database"), encryption_key=self.ground.key
            ),
            parameter_group=parameters,
            multi_az=chosen.multi_az,
            allocated_storage=chosen.storage_gb,
            max_allocated_storage=chosen.most_storage_gb,
            storage_type=rds.StorageType.GP3,
            storage_encrypted=True,
            storage_encryption_key=self.ground.key,
            iam_authentication=True,
            publicly_accessible=False,
            auto_minor_version_upgrade=True,
            copy_tags_to_snapshot=True,
            backup_retention=cdk.Duration.days(chosen.backup_days),
            delete_automated_backups=not self.settings.protected,
            deletion_protection=self.settings.protected,
            removal_policy=cdk.RemovalPolicy.SNAPSHOT,
            preferred_backup_window=DATABASE_BACKUP,
            preferred_maintenance_window=MAINTENANCE,
            monitoring_interval=cdk.Duration.seconds(60),
            monitoring_role=self.watcher,
            enable_performance_insights=True,
            performance_insight_encryption_key=self.ground.key,
            cloudwatch_logs_exports=["postgresql", "upgrade"],
            ca_certificate=rds.CaCertificate.RDS_CA_RSA2048_G1,
        )
        for kind in ("postgresql", "upgrade"):
            self._database_log(made, kind)
        cdk.Tags.of(made).add(*TAG)
        return made

    def _database_log(self, database: rds.DatabaseInstance, kind: str) -> None:
        """Made before the database makes it: its own would be kept for ever."""
        group = logs.LogGroup(
            self,
            f"DatabaseLog-{kind}",
            log_group_name=f"/aws/rds/instance/{self.named('atrium-{}')}/{kind}",
            encryption_key=self.ground.key,
            retention=RETENTION[self.settings.log_days],
            removal_policy=self.kept,
        )
        database.node.add_dependency(group)

    def _reader(self, number: int) -> rds.DatabaseInstanceReadReplica:
        """Encrypted as its source is, which CloudFormation does not let it say."""
        return rds.DatabaseInstanceReadReplica(
            self,
            f"Reader{number + 1}",
            source_database_instance=self.database,
            instance_identifier=f"{self.named('atrium-{}')}-reader-{number + 1}",
            instance_type=ec2.InstanceType(self.settings.database.kind),
            vpc=self.ground.network,
            vpc_subnets=ISOLATED,
            security_groups=[self.database_group],
            port=names.DATABASE_PORT,
            storage_type=rds.StorageType.GP3,
            iam_authentication=True,
            publicly_accessible=False,
            auto_minor_version_upgrade=True,
            copy_tags_to_snapshot=True,
            deletion_protection=self.settings.protected,
            preferred_maintenance_window=MAINTENANCE,
            monitoring_interval=cdk.Duration.seconds(60),
            monitoring_role=self.watcher,
            enable_performance_insights=True,
            performance_insight_encryption_key=self.ground.key,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )

    def _files(self) -> tuple[efs.FileSystem, efs.AccessPoint]:
        """What people upload and what is generated for them, seen by all machines; never code, never static files."""
        group = ec2.SecurityGroup(self, "FilesGroup", vpc=self.ground.network, description="The shared files", allow_all_outbound=False)
        joined(self, "MachinesToFiles", self.ground.machines, group, 2049)
        made = efs.FileSystem(
            self,
            "Files",
            vpc=self.ground.network,
            vpc_subnets=ISOLATED,
            security_group=group,
            file_system_name=self.named("atrium-{}"),
            encrypted=True,
            kms_key=self.ground.key,
            throughput_mode=efs.ThroughputMode.ELASTIC,
            lifecycle_policy=efs.LifecyclePolicy.AFTER_30_DAYS,
            allow_anonymous_access=False,
            removal_policy=self.kept,
        )
        person = str(names.USER_ID)
        entry = made.add_access_point(
            "Entry",
            path="/atrium",
            create_acl=efs.Acl(owner_uid=person, owner_gid=person, permissions="0750"),
            posix_user=efs.PosixUser(uid=person, gid=person),
        )
        cdk.Tags.of(made).add(*TAG)
        return made, entry

    def _bucket(self, name: str, of: str, **given: Any) -> s3.Bucket:
        choice: dict[str, Any] = {"encryption": s3.BucketEncryption.KMS, "encryption_key": self.ground.key, "bucket_key_enabled": True}
        return s3.Bucket(
            self,
            name,
            bucket_name=self.bucket_name(of),
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            server_access_logs_bucket=self.ground.access_logs,
            server_access_logs_prefix=f"{of}/",
            removal_policy=self.kept,
            **{**choice, **given},
        )

    def _uploads(self) -> s3.Bucket:
        """A prefix for each organisation; what nobody has asked for in a while moves to where it costs less."""
        rules = [
            s3.LifecycleRule(
                id="cheaper",
                transitions=[s3.Transition(storage_class=s3.StorageClass.INTELLIGENT_TIERING, transition_after=cdk.Duration.days(0))],
                noncurrent_version_expiration=cdk.Duration.days(30),
                abort_incomplete_multipart_upload_after=cdk.Duration.days(2),
            )
        ]
        return self._bucket("Uploads", "files", versioned=True, lifecycle_rules=rules)

    def _static(self) -> s3.Bucket:
        """Pages' files of every release of the last months, so that two can be served at once. With S3's own key: CloudFront reads it from another region."""
        made = self._bucket("Static", "static", encryption=s3.BucketEncryption.S3_MANAGED, encryption_key=None, bucket_key_enabled=None, versioned=True)
        made.add_to_resource_policy(
            iam.PolicyStatement(
                actions=["s3:GetObject"],
                principals=[service("cloudfront.amazonaws.com")],
                resources=[made.arn_for_objects("*")],
                conditions={"ArnLike": {"aws:SourceArn": f"arn:{cdk.Aws.PARTITION}:cloudfront::{cdk.Aws.ACCOUNT_ID}:distribution/*"}},
            )
        )
        return made

    def _queues(self) -> tuple[dict[str, sqs.Queue], dict[str, sqs.Queue]]:
        """Only doorbells travel here: what is to be done is rows in the database. Taken ten times and never finished, one waits for somebody to look."""
        dead, made = {}, {}
        for each in names.QUEUES:
            full = f"{self.named(names.QUEUE_PREFIX)}{each.name}"
            dead[each.name] = queue(self, self.ground, f"Dead-{each.name}", f"{full}-dead")
            after = sqs.DeadLetterQueue(queue=dead[each.name], max_receive_count=names.RECEIVED_AT_MOST)
            visible = cdk.Duration.seconds(each.visible_again_s)
            made[each.name] = queue(
                self, self.ground, f"Queue-{each.name}", full, visibility_timeout=visible, dead_letter_queue=after, retention_period=cdk.Duration.days(1)
            )
        return dead, made

    def _backups(self) -> None:
        vault = backup.BackupVault(
            self,
            "Vault",
            backup_vault_name=self.named(names.VAULT),
            encryption_key=self.ground.key,
            block_recovery_point_deletion=self.settings.protected,
            removal_policy=self.kept,
        )
        plan = backup.BackupPlan(self, "Plan", backup_plan_name=self.named("atrium-{}-daily"), backup_vault=vault)
        plan.add_rule(
            backup.BackupPlanRule(
                rule_name="daily",
                schedule_expression=events.Schedule.cron(hour=BACKUP_HOUR, minute="0"),
                start_window=cdk.Duration.hours(1),
                completion_window=cdk.Duration.hours(6),
                delete_after=cdk.Duration.days(self.settings.backup_days),
                copy_actions=self._copies(),
            )
        )
        plan.add_selection(
            "Selection",
            backup_selection_name="database-and-files",
            allow_restores=False,  # who may restore need not be who saves every night
            resources=[backup.BackupResource.from_rds_database_instance(self.database), backup.BackupResource.from_efs_file_system(self.files)],
        )
        self.vault = vault

    def _copies(self) -> list[backup.BackupPlanCopyActionProps] | None:
        """Into the vault of another region, by its name: it is made first, by a stack there."""
        if not self.settings.copies_region:
            return None
        place = f"arn:{cdk.Aws.PARTITION}:backup:{self.settings.copies_region}:{cdk.Aws.ACCOUNT_ID}:backup-vault:{self.named(names.COPIES)}"
        there = backup.BackupVault.from_backup_vault_arn(self, "CopiesVault", place)
        return [backup.BackupPlanCopyActionProps(destination_backup_vault=there, delete_after=cdk.Duration.days(self.settings.copies_days))]


def queue(stack: Stack, ground: Foundation, id: str, name: str, **given: Any) -> sqs.Queue:
    """Encrypted with our key; without more said, one that keeps dead letters for two weeks."""
    given = {"retention_period": DEAD_DAYS, **given}
    return sqs.Queue(stack, id, queue_name=name, encryption=sqs.QueueEncryption.KMS, encryption_master_key=ground.key, enforce_ssl=True, **given)


class Copies(Stack):
    """In another region: the vault that backups are copied to, under a key of that region."""

    def __init__(self, scope: Construct, id: str, **given: Any) -> None:
        super().__init__(scope, id, **given)
        key = kms.Key(self, "Key", description=f"Copies of backups of {self.settings.name}", enable_key_rotation=True, removal_policy=cdk.RemovalPolicy.RETAIN)
        backup.BackupVault(
            self,
            "Vault",
            backup_vault_name=self.named(names.COPIES),
            encryption_key=key,
            block_recovery_point_deletion=True,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
