"""A classic bastion, for those who may not use Session Manager: one small machine, reached by SSH from one range. Off unless that range is given."""

from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy import names
from deploy.stacks.base import Stack
from deploy.stacks.data import Data
from deploy.stacks.foundation import Foundation, joined


class Bastion(Construct):
    def __init__(self, stack: Stack, ground: Foundation, held: Data) -> None:
        super().__init__(stack, "Bastion")
        group = ec2.SecurityGroup(self, "Group", vpc=ground.network, description="The bastion", allow_all_outbound=False)
        group.add_ingress_rule(ec2.Peer.ipv4(stack.settings.bastion_from), ec2.Port.tcp(22), "The office")
        joined(stack, "BastionToDatabase", group, held.database_group, names.DATABASE_PORT)
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
        profile = iam.CfnInstanceProfile(self, "Profile", roles=[role.role_name])
        kind = ec2.CfnLaunchTemplate
        template = ec2.CfnLaunchTemplate(
            self,
            "Template",
            launch_template_data=kind.LaunchTemplateDataProperty(
                image_id=ec2.MachineImage.latest_amazon_linux2023().get_image(self).image_id,
                instance_type="t3.micro",
                iam_instance_profile=kind.IamInstanceProfileProperty(arn=profile.attr_arn),
                network_interfaces=[kind.NetworkInterfaceProperty(device_index=0, associate_public_ip_address=True, groups=[group.security_group_id])],
                block_device_mappings=[
                    kind.BlockDeviceMappingProperty(device_name="/dev/xvda", ebs=kind.EbsProperty(volume_size=8, volume_type="gp3", encrypted=True))
                ],
                metadata_options=kind.MetadataOptionsProperty(http_tokens="required", http_put_response_hop_limit=1),
            ),
        )
        autoscaling.CfnAutoScalingGroup(
            self,
            "Machines",
            min_size="1",
            max_size="1",
            vpc_zone_identifier=ground.network.select_subnets(subnet_type=ec2.SubnetType.PUBLIC).subnet_ids,
            launch_template=autoscaling.CfnAutoScalingGroup.LaunchTemplateSpecificationProperty(
                launch_template_id=template.ref, version=template.attr_latest_version_number
            ),
            health_check_type="EC2",
            tags=[autoscaling.CfnAutoScalingGroup.TagPropertyProperty(key="Name", value=stack.named("atrium-{}-bastion"), propagate_at_launch=True)],
        )
