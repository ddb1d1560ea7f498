"""Makes buckets that are not there: ``python buckets.py NAME...``. Server and keys as boto3 reads them (``AWS_*``).

What lies in the buckets, and who else may read them, does not belong here.
"""

import sys
import time
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

_WAIT_SECONDS = 90.0
_MISSING = ("404", "NoSuchBucket", "NotFound")
_OURS = "BucketAlreadyOwnedByYou"


def main(names: list[str]) -> int:
    if not names:
        print("name the buckets to make", file=sys.stderr)
        return 2
    client = boto3.client("s3", config=Config(retries={"max_attempts": 3}, s3={"addressing_style": "path"}))
    problems = []
    for name in names:
        try:
            print(f"bucket {name}: {'made' if ensure(client, name) else 'is there'}")
        except (ClientError, BotoCoreError) as error:
            problems.append(f"bucket {name} cannot be made: {error}")
    print("\n".join(problems), end="\n" if problems else "", file=sys.stderr)
    return 1 if problems else 0


def ensure(client: Any, name: str) -> bool:
    """Make a bucket; False when it was there. Waits for a server that is starting.

    Raises:
        ClientError: the server refuses, e.g. since the bucket is somebody else's.
        BotoCoreError: no server answers, or no keys are set.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            client.head_bucket(Bucket=name)
        except EndpointConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(2)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _MISSING:
                raise
            return _made(client, name)
        else:
            return False


def _made(client: Any, name: str) -> bool:
    region = client.meta.region_name
    # AWS wants the region of every bucket but those of its first one, for which naming it is an error.
    where = {} if region in (None, "us-east-1") else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        client.create_bucket(Bucket=name, **where)
    except ClientError as error:
        if error.response["Error"]["Code"] == _OURS:
            return False
        raise
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
