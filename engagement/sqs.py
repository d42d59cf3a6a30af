"""SQS for the worker: received by boto3 in a loop of its own thread, with long polling.

The library's other way of receiving needs a second HTTP client, in C, that knows nothing of proxies, endpoints and roles as boto3 does; a worker takes one
message at a time here anyway. SQS answers as soon as a message is there, so nothing is slower.
"""

from kombu.transport.SQS import Transport as Library


class Transport(Library):
    implements = Library.implements.extend(asynchronous=False)
    polling_interval = 0  # seconds between two long polls
