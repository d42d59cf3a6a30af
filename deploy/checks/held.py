"""What holds data: encrypted, kept, backed up, and with an end to every queue."""

from collections.abc import Iterator

from deploy import names
from deploy.checks.world import Resource, World

_TWO_WEEKS_S = 14 * 24 * 3600
_LEAST_DAYS = 7


def writers(world: World) -> list[Resource]:
    return [each for each in world.all("AWS::RDS::DBInstance") if "SourceDBInstanceIdentifier" not in each.has]


def readers(world: World) -> list[Resource]:
    return [each for each in world.all("AWS::RDS::DBInstance") if "SourceDBInstanceIdentifier" in each.has]


def database_is_safe(world: World) -> Iterator[str]:
    wanted = {"StorageEncrypted": True, "EnableIAMDatabaseAuthentication": True, "PubliclyAccessible": False}
    if world.environment.name != "dev":
        wanted["MultiAZ"] = True
    if world.environment.protected:
        wanted["DeletionProtection"] = True
    for writer in writers(world):
        for name, value in wanted.items():
            if writer.has.get(name) != value:
                yield f"{writer}: {name} is not {value}."
        if int(writer.has.get("BackupRetentionPeriod", 0)) < _LEAST_DAYS:
            yield f"{writer} keeps its own backups for less than {_LEAST_DAYS} days."
        if int(writer.has.get("MaxAllocatedStorage", 0)) <= int(writer.has["AllocatedStorage"]):
            yield f"{writer} cannot grow."
    for reader in readers(world):
        if reader.has.get("PubliclyAccessible") is not False or reader.has.get("EnableIAMDatabaseAuthentication") is not True:
            yield f"{reader} is public, or wants passwords."
    if len(readers(world)) != world.environment.database.readers:
        yield "There are not as many readers as the environment says."


def no_password_in_a_template(world: World) -> Iterator[str]:
    for writer in writers(world):
        password = writer.has.get("MasterUserPassword")
        if password is not None and "{{resolve:secretsmanager:" not in str(password):
            yield f"{writer} has its password in the template."
        if writer.has.get("ManageMasterUserPassword") and readers(world):
            yield f"{writer} lets RDS manage the password, which does not go with readers."


def tls_to_the_database(world: World) -> Iterator[str]:
    groups = {group.at: group for group in world.all("AWS::RDS::DBParameterGroup")}
    for writer in writers(world):
        group = groups.get(world.target(writer.stack, writer.has.get("DBParameterGroupName")) or ("", ""))
        if not group or group.has["Parameters"].get("rds.force_ssl") != "1":
            yield f"{writer} takes connections without TLS."


def what_holds_data_is_kept(world: World) -> Iterator[str]:
    kinds = ("AWS::EFS::FileSystem", "AWS::S3::Bucket", "AWS::Backup::BackupVault", "AWS::KMS::Key") if world.environment.protected else ("AWS::KMS::Key",)
    for kind in kinds:
        for each in world.all(kind):
            if each.whole.get("DeletionPolicy") != "Retain":
                yield f"{each} goes when its stack goes."
    for writer in writers(world):
        if writer.whole.get("DeletionPolicy") not in ("Retain", "Snapshot"):
            yield f"{writer} goes without a last snapshot."


def files_are_safe(world: World) -> Iterator[str]:
    for files in world.all("AWS::EFS::FileSystem"):
        if files.has.get("Encrypted") is not True or "KmsKeyId" not in files.has:
            yield f"{files} is not encrypted with our key."
        if "elasticfilesystem:AccessedViaMountTarget" not in str(files.has.get("FileSystemPolicy")):
            yield f"{files} can be mounted by whoever reaches it."
    for entry in world.all("AWS::EFS::AccessPoint"):
        if entry.has.get("PosixUser", {}).get("Uid") != str(names.USER_ID):
            yield f"{entry} does not say as whom files are written."


def buckets_are_closed(world: World) -> Iterator[str]:
    denied = {
        world.target(policy.stack, policy.has["Bucket"])
        for policy in world.all("AWS::S3::BucketPolicy")
        for statement in policy.has["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny" and statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport") == "false"
    }
    for bucket in world.all("AWS::S3::Bucket"):
        block = bucket.has.get("PublicAccessBlockConfiguration", {})
        if [block.get(name) for name in ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")] != [True] * 4:
            yield f"{bucket} may become public."
        if "BucketEncryption" not in bucket.has:
            yield f"{bucket} is not encrypted."
        if bucket.at not in denied:
            yield f"{bucket} answers without TLS."


def uploads_get_cheaper(world: World) -> Iterator[str]:
    rules = [rule for bucket in world.all("AWS::S3::Bucket") for rule in bucket.has.get("LifecycleConfiguration", {}).get("Rules", [])]
    if not any(each["StorageClass"] == "INTELLIGENT_TIERING" for rule in rules for each in rule.get("Transitions", [])):
        yield "No bucket moves what nobody asks for to where it costs less."


def queues_have_an_end(world: World) -> Iterator[str]:
    queues = {queue.at: queue for queue in world.all("AWS::SQS::Queue")}
    dead = {world.target(queue.stack, queue.has["RedrivePolicy"]["deadLetterTargetArn"]) for queue in queues.values() if "RedrivePolicy" in queue.has}
    for queue in queues.values():
        if queue.at in dead or str(queue.has["QueueName"]).endswith("-dead"):
            if queue.has.get("MessageRetentionPeriod") != _TWO_WEEKS_S:
                yield f"{queue} forgets dead letters before two weeks are over."
        else:
            if queue.has.get("RedrivePolicy", {}).get("maxReceiveCount") != names.RECEIVED_AT_MOST:
                yield f"{queue} does not put away what was received {names.RECEIVED_AT_MOST} times."
            if queue.has.get("VisibilityTimeout", 30) < max(each.visible_again_s for each in names.QUEUES):
                yield f"{queue} shows a message again before it can have been confirmed."
        if "KmsMasterKeyId" not in queue.has:
            yield f"{queue} is not encrypted."


def everything_is_backed_up(world: World) -> Iterator[str]:
    rules = [rule for plan in world.all("AWS::Backup::BackupPlan") for rule in plan.has["BackupPlan"]["BackupPlanRule"]]
    if not rules or any(rule.get("Lifecycle", {}).get("DeleteAfterDays", 0) < _LEAST_DAYS for rule in rules):
        yield f"No plan keeps backups for {_LEAST_DAYS} days."
    if world.environment.copies_days and not all(rule.get("CopyActions") for rule in rules):
        yield "Backups are not copied to another region."
    chosen = {target for each in world.all("AWS::Backup::BackupSelection") for target in world.reached(each.stack, each.has["BackupSelection"]["Resources"])}
    for each in (*writers(world), *world.all("AWS::EFS::FileSystem")):
        if each.at not in chosen:
            yield f"{each} is in no plan of backups."
    for vault in world.all("AWS::Backup::BackupVault"):
        if "EncryptionKeyArn" not in vault.has:
            yield f"{vault} is not encrypted with our key."


def windows_are_apart(world: World) -> Iterator[str]:
    """Minutes of the day, UTC: the database's own backup, its maintenance, and the hour in which the plan begins."""
    hours = {
        int(str(rule["ScheduleExpression"]).split()[1]) for plan in world.all("AWS::Backup::BackupPlan") for rule in plan.has["BackupPlan"]["BackupPlanRule"]
    }
    for writer in writers(world):
        own = _minutes(writer.has["PreferredBackupWindow"])
        maintained = _minutes("-".join(part.split(":", 1)[1] for part in writer.has["PreferredMaintenanceWindow"].split("-")))
        planned = {minute for hour in hours for minute in range(hour * 60, hour * 60 + 60)}
        if own & maintained or own & planned or maintained & planned:
            yield f"{writer}: backup, maintenance and the plan's hour overlap."


def _minutes(window: str) -> set[int]:
    begin, end = (int(hour) * 60 + int(minute) for hour, minute in (part.split(":") for part in window.split("-")))
    return set(range(begin, end))


def keys_turn(world: World) -> Iterator[str]:
    for key in world.all("AWS::KMS::Key"):
        if key.has.get("EnableKeyRotation") is not True:
            yield f"{key} is never turned."


def logs_end(world: World) -> Iterator[str]:
    for group in world.all("AWS::Logs::LogGroup"):
        if "RetentionInDays" not in group.has:
            yield f"{group} keeps its lines for ever."
    for function in world.all("AWS::Lambda::Function"):
        if "LoggingConfig" not in function.has and "CustomResourceProvider" not in function.id:  # the kit's own helper runs once
            yield f"{function} has no log group of its own."


CHECKS = (
    *(database_is_safe, no_password_in_a_template, tls_to_the_database, what_holds_data_is_kept, files_are_safe, buckets_are_closed, uploads_get_cheaper),
    *(queues_have_an_end, everything_is_backed_up, windows_are_apart, keys_turn, logs_end),
)
