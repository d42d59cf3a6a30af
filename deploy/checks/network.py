"""Who can reach what."""

from collections.abc import Iterator
from typing import Any

from deploy import names
from deploy.checks.world import Resource, World, several

_WORLD = {"0.0.0.0/0", "::/0"}


def subnets(world: World, name: str) -> list[Resource]:
    tagged = {"Key": "aws-cdk:subnet-name", "Value": name}
    return [subnet for subnet in world.all("AWS::EC2::Subnet") if tagged in subnet.has["Tags"]]


def ingress(world: World) -> Iterator[tuple[Resource, dict[str, Any]]]:
    """Every rule that lets somebody in, with what it belongs to; those written apart are told with the group that they are for."""
    for group in world.all("AWS::EC2::SecurityGroup"):
        yield from ((group, rule) for rule in group.has.get("SecurityGroupIngress", []))
    groups = {group.at: group for group in world.all("AWS::EC2::SecurityGroup")}
    for apart in world.all("AWS::EC2::SecurityGroupIngress"):
        target = world.target(apart.stack, apart.has["GroupId"])
        if target in groups:
            yield groups[target], {**apart.has, "stack": apart.stack}


def two_zones(world: World) -> Iterator[str]:
    for name in ("public", "app", "data"):
        if len({str(subnet.has["AvailabilityZone"]) for subnet in subnets(world, name)}) < 2:
            yield f"The {name} subnets do not lie in two zones."
    network = next(world.all("AWS::EC2::VPC"))
    if network.has["CidrBlock"] != world.environment.network:
        yield f"The network is not {world.environment.network}."


def data_has_no_way_out(world: World) -> Iterator[str]:
    apart = {subnet.at for subnet in subnets(world, "data")}
    tables = {
        world.target(each.stack, each.has["RouteTableId"])
        for each in world.all("AWS::EC2::SubnetRouteTableAssociation")
        if world.target(each.stack, each.has["SubnetId"]) in apart
    }
    for route in world.all("AWS::EC2::Route"):
        if world.target(route.stack, route.has["RouteTableId"]) in tables:
            yield f"{route} leads out of the subnets that hold data."
    for group in (*world.all("AWS::RDS::DBSubnetGroup"), *world.all("AWS::EFS::MountTarget")):
        used = {world.target(group.stack, each) for each in several(group.has.get("SubnetIds") or group.has.get("SubnetId"))}
        if not used <= apart:
            yield f"{group} lies outside the subnets that hold data."


def machines_are_private(world: World) -> Iterator[str]:
    private = {subnet.at for subnet in subnets(world, "app")}
    for group in world.all("AWS::AutoScaling::AutoScalingGroup"):
        if not {world.target(group.stack, each) for each in group.has["VPCZoneIdentifier"]} <= private and not world.environment.bastion_from:
            yield f"{group} has machines outside the private subnets."
    for template in world.all("AWS::EC2::LaunchTemplate"):
        if (
            any(each.get("AssociatePublicIpAddress") is not False for each in template.has["LaunchTemplateData"]["NetworkInterfaces"])
            and not world.environment.bastion_from
        ):
            yield f"{template} gives machines addresses of the internet."
    for subnet in world.all("AWS::EC2::Subnet"):
        if subnet.has.get("MapPublicIpOnLaunch"):
            yield f"{subnet} gives whatever starts in it an address of the internet."


def only_cloudfront_gets_in(world: World) -> Iterator[str]:
    balancers = {target for each in world.all("AWS::ElasticLoadBalancingV2::LoadBalancer") for target in world.reached(each.stack, each.has["SecurityGroups"])}
    for group, rule in ingress(world):
        if {rule.get("CidrIp"), rule.get("CidrIpv6")} & _WORLD:
            yield f"{group} is open to the world."
        if group.at in balancers and (rule.get("FromPort"), rule.get("ToPort")) != (443, 443):
            yield f"{group}, of the load balancer, is open at another port than 443."
        if group.at in balancers and "SourcePrefixListId" not in rule:
            yield f"{group}, of the load balancer, is open to others than CloudFront."


def no_ssh(world: World) -> Iterator[str]:
    if world.environment.bastion_from:
        return
    for group, rule in ingress(world):
        if rule.get("IpProtocol") in ("-1", "tcp") and rule.get("FromPort", 0) <= 22 <= rule.get("ToPort", 65535):
            yield f"{group} lets SSH in."
    for template in world.all("AWS::EC2::LaunchTemplate"):
        if "KeyName" in template.has["LaunchTemplateData"]:
            yield f"{template} takes a key pair."


def data_only_from_machines(world: World) -> Iterator[str]:
    """The database and the shared files."""
    machines = {
        target for each in world.all("AWS::EC2::LaunchTemplate") for target in world.reached(each.stack, each.has["LaunchTemplateData"]["NetworkInterfaces"])
    }
    held = {target for each in world.all("AWS::RDS::DBInstance") for target in world.reached(each.stack, each.has.get("VPCSecurityGroups"))}
    held |= {target for each in world.all("AWS::EFS::MountTarget") for target in world.reached(each.stack, each.has["SecurityGroups"])}
    seen = set()
    for group, rule in ingress(world):
        if group.at in held:
            seen.add(group.at)
            if world.target(rule.get("stack", group.stack), rule.get("SourceSecurityGroupId")) not in machines:
                yield f"{group} lets others in than the machines."
            if rule["FromPort"] not in (names.DATABASE_PORT, 2049) or rule["FromPort"] != rule["ToPort"]:
                yield f"{group} is open at another port than its own."
    if seen != held:
        yield "Something that holds data has a group that lets nobody in."


def flows_are_kept(world: World) -> Iterator[str]:
    flows = [each for each in world.all("AWS::EC2::FlowLog") if each.has["TrafficType"] == "ALL"]
    groups = {group.at for group in world.all("AWS::Logs::LogGroup")}
    if not any(world.target(each.stack, each.has.get("LogGroupName")) in groups for each in flows):
        yield "The network's flows are not logged into a group of ours."


def default_group_is_empty(world: World) -> Iterator[str]:
    if not list(world.all("Custom::VpcRestrictDefaultSG")):
        yield "Nothing empties the network's default security group."


CHECKS = (
    two_zones,
    data_has_no_way_out,
    machines_are_private,
    only_cloudfront_gets_in,
    no_ssh,
    data_only_from_machines,
    flows_are_kept,
    default_group_is_empty,
)
