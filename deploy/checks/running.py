"""What runs, what the world sees of it, and what it may do."""

import re
from collections.abc import Iterator
from typing import Any

from deploy import names
from deploy.checks.world import World, several

_SECRET = re.compile(r"(?i)secret_key|password|passwd|token|akia[0-9a-z]{12}|hooks\.slack\.com|OriginKey")
_LET_THROUGH = {"SizeRestrictions_BODY": "batches of events", "NoUserAgent_HEADER": "devices", "CrossSiteScripting_BODY": "mails that people write"}
_NEVER_CACHED, _WHOLE_REQUEST = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad", "216adef6-5c7f-47e4-b989-5492eafa07d3"  # AWS's own policies
# Calls that know no resource; everything else must name one.
_NO_RESOURCE = re.compile(
    r"ssm:UpdateInstanceInformation|ssmmessages:.*|ec2messages:.*|cloudwatch:.*|ses:Get.*|(autoscaling|cloudformation|ec2|elasticloadbalancing|rds|logs):Describe\w+"
    r"|(backup|sns|sqs):List\w+|ssm:GetCommandInvocation"
)


def groups_replace_before_they_end(world: World) -> Iterator[str]:
    only = {names.of(names.GROUP, world.environment.name, role=role.name) for role in names.ROLES if role.only_one}
    for group in world.all("AWS::AutoScaling::AutoScalingGroup"):
        if group.id.startswith("Bastion"):  # nobody waits for it
            continue
        preferences = group.whole.get("UpdatePolicy", {}).get("AutoScalingInstanceRefresh", {}).get("Preferences", {})
        alone = group.has.get("AutoScalingGroupName") in only
        if not alone and (preferences.get("MinHealthyPercentage", 0) < 100 or preferences.get("MaxHealthyPercentage", 0) <= 100):
            yield f"{group} ends machines before new ones stand."
        if not preferences.get("AlarmSpecification", {}).get("Alarms") or preferences.get("BakeTime", 0) < 60:
            yield f"{group} does not return by itself where a release goes wrong."
        hooks = group.has.get("LifecycleHookSpecificationList", [])
        if not any(hook["LifecycleTransition"].endswith("TERMINATING") and hook["DefaultResult"] == "CONTINUE" for hook in hooks):
            yield f"{group} does not let machines finish their work."
        if "DesiredCapacity" in group.has:
            yield f"{group} would be set back to a number at each release."
        if world.environment.name != "dev" and not alone and int(group.has["MinSize"]) < 2:
            yield f"{group} does not outlive a zone."
        if group.has.get("TargetGroupARNs") and group.has["HealthCheckType"] != "ELB":
            yield f"{group} keeps machines that do not answer."


def machines_are_hardened(world: World) -> Iterator[str]:
    for template in world.all("AWS::EC2::LaunchTemplate"):
        data = template.has["LaunchTemplateData"]
        metadata = data.get("MetadataOptions", {})
        if metadata.get("HttpTokens") != "required" or metadata.get("HttpPutResponseHopLimit") != 1:
            yield f"{template} tells its machine's data without a token, or to others."
        if not all(each["Ebs"].get("Encrypted") for each in data["BlockDeviceMappings"]):
            yield f"{template} has disks that are not encrypted."
        if "resolve:ssm" not in str(data["ImageId"]) and "Ref" not in data["ImageId"]:
            yield f"{template} names an image of one region."


def nothing_secret_at_launch(world: World) -> Iterator[str]:
    for template in world.all("AWS::EC2::LaunchTemplate"):
        if found := _SECRET.search(str(template.has["LaunchTemplateData"].get("UserData"))):
            yield f"{template} says {found[0]} to whoever may describe it."
    for setting in world.all("AWS::SSM::Parameter"):
        if found := _SECRET.search(f"{setting.has['Name']} {setting.has['Value']}"):
            yield f"{setting} holds {found[0]} where settings lie open."
    for function in world.all("AWS::Lambda::Function"):
        if found := re.search(r"(?i)https://hooks|xox[bp]-|password", str(function.has.get("Environment"))):
            yield f"{function} holds {found[0]} in its environment."


def balancer_is_strict(world: World) -> Iterator[str]:
    wanted = {"routing.http.drop_invalid_header_fields.enabled": "true", "routing.http.desync_mitigation_mode": "strictest", "access_logs.s3.enabled": "true"}
    wanted["idle_timeout.timeout_seconds"] = str(names.IDLE_S)
    if world.environment.protected:
        wanted["deletion_protection.enabled"] = "true"
    for balancer in world.all("AWS::ElasticLoadBalancingV2::LoadBalancer"):
        given = {each["Key"]: each["Value"] for each in balancer.has["LoadBalancerAttributes"]}
        for name, value in wanted.items():
            if given.get(name) != value:
                yield f"{balancer}: {name} is not {value}."
    for listener in world.all("AWS::ElasticLoadBalancingV2::Listener"):
        if (listener.has["Protocol"], listener.has["Port"]) != ("HTTPS", 443) or "TLS13" not in listener.has.get("SslPolicy", ""):
            yield f"{listener} speaks something else than TLS of today at 443."
        if [each["Type"] for each in listener.has["DefaultActions"]] != ["fixed-response"]:
            yield f"{listener} lets in what does not come from CloudFront."
    for rule in world.all("AWS::ElasticLoadBalancingV2::ListenerRule"):
        headers = [each.get("HttpHeaderConfig", {}).get("HttpHeaderName") for each in rule.has["Conditions"]]
        if names.ORIGIN_HEADER not in headers:
            yield f"{rule} does not ask for CloudFront's header."


def health_touches_nothing(world: World) -> Iterator[str]:
    for targets in world.all("AWS::ElasticLoadBalancingV2::TargetGroup"):
        given = {each["Key"]: each["Value"] for each in targets.has.get("TargetGroupAttributes", [])}
        if targets.has.get("HealthCheckPath") != names.LIVE:
            yield f"{targets} asks at another address than {names.LIVE}: a database that fails over would cost every machine."
        if given.get("stickiness.enabled", "false") != "false" or int(given.get("deregistration_delay.timeout_seconds", 300)) > 120:
            yield f"{targets} ties people to machines, or lets them go too late."


def documents_are_there(world: World) -> Iterator[str]:
    there = {str(each.has["Name"]) for each in world.all("AWS::SSM::Document")}
    for name in names.DOCUMENTS.values():
        if names.of(name, world.environment.name) not in there:
            yield f"There is no document {names.of(name, world.environment.name)}."


def mail_is_told(world: World) -> Iterator[str]:
    for each in world.all("AWS::SES::ConfigurationSet"):
        if each.has.get("DeliveryOptions", {}).get("TlsPolicy") != "REQUIRE":
            yield f"{each} sends mail without TLS."
        if not {"BOUNCE", "COMPLAINT"} <= set(each.has.get("SuppressionOptions", {}).get("SuppressedReasons", [])):
            yield f"{each} writes again to those who bounced or complained."
    told = {kind for each in world.all("AWS::SES::ConfigurationSetEventDestination") for kind in each.has["EventDestination"]["MatchingEventTypes"]}
    if not {"BOUNCE", "COMPLAINT", "DELIVERY"} <= told:
        yield "Bounces, complaints or deliveries do not come back to the application."


def edge_is_guarded(world: World) -> Iterator[str]:
    for each in world.all("AWS::CloudFront::Distribution"):
        given = each.has["DistributionConfig"]
        by_default = given["DefaultCacheBehavior"]
        if "WebACLId" not in given or "Logging" not in given:
            yield f"{each} has no firewall, or no log."
        if given["ViewerCertificate"].get("MinimumProtocolVersion") != "TLSv1.2_2021":
            yield f"{each} speaks TLS of yesterday."
        if by_default.get("CachePolicyId") != _NEVER_CACHED or by_default.get("OriginRequestPolicyId") != _WHOLE_REQUEST:
            yield f"{each} keeps pages of one person for another, or loses the Host."
        for origin in given["Origins"]:
            custom = origin.get("CustomOriginConfig")
            if custom and (custom["OriginProtocolPolicy"] != "https-only" or not origin.get("OriginCustomHeaders")):
                yield f"{each} asks {origin['Id']} without TLS or without the header."


def firewall_is_on(world: World) -> Iterator[str]:
    logged = {world.target(each.stack, each.has["ResourceArn"]) for each in world.all("AWS::WAFv2::LoggingConfiguration")}
    for each in world.all("AWS::WAFv2::WebACL"):
        statements = [rule["Statement"] for rule in each.has["Rules"]]
        managed = {
            statement["ManagedRuleGroupStatement"]["Name"]: statement["ManagedRuleGroupStatement"]
            for statement in statements
            if "ManagedRuleGroupStatement" in statement
        }
        if len(managed) < 3 or not any("RateBasedStatement" in statement for statement in statements):
            yield f"{each} has too few rules, or none on the rate."
        counted = {rule["Name"] for rule in managed.get("AWSManagedRulesCommonRuleSet", {}).get("RuleActionOverrides", []) if "Count" in rule["ActionToUse"]}
        for rule, what in _LET_THROUGH.items():
            if rule not in counted:
                yield f"{each} would refuse {what}."
        if each.at not in logged:
            yield f"{each} writes nothing down."


def nobody_may_everything(world: World) -> Iterator[str]:
    for kind in ("AWS::IAM::User", "AWS::IAM::AccessKey", "AWS::IAM::Group"):
        for each in world.all(kind):
            yield f"{each} is somebody with a key of his own."
    for role in (*world.all("AWS::IAM::Role"), *world.all("AWS::IAM::Policy"), *world.all("AWS::IAM::ManagedPolicy")):
        for attached in role.has.get("ManagedPolicyArns", []):
            if re.search(r"FullAccess|Administrator|PowerUser", str(attached)):
                yield f"{role} has {attached}."
        documents = [role.has["PolicyDocument"]] if "PolicyDocument" in role.has else [each["PolicyDocument"] for each in role.has.get("Policies", [])]
        for statement in (statement for document in documents for statement in document["Statement"]):
            yield from (f"{role} {fault}" for fault in _too_much(statement))


def _too_much(statement: dict[str, Any]) -> Iterator[str]:
    for action in several(statement.get("Action", [])):
        if action == "*" or action.endswith(":*"):
            yield f"may {action}."
        if "*" in several(statement.get("Resource", [])) and not _NO_RESOURCE.fullmatch(action):
            yield f"may {action} on everything."


CHECKS = (
    *(groups_replace_before_they_end, machines_are_hardened, nothing_secret_at_launch, balancer_is_strict, health_touches_nothing, documents_are_there),
    *(mail_is_told, edge_is_guarded, firewall_is_on, nobody_may_everything),
)
