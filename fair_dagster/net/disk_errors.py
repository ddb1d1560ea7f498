"""Why a disk has refused, in words. Reads and writes nothing."""

import errno

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file size limit is reached",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "there is no permission",
    errno.EPERM: "there is no permission",
}


def reason_of(error: OSError) -> str:
    return _REASONS.get(error.errno or 0, error.strerror or str(error))
