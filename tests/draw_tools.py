"""What `Draws` draws, one number at a time in Python's own whole numbers."""

MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15


def mixed(bits):
    """Stafford's thirteenth variant of the 64-bit finalizer."""
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & MASK
    return bits ^ (bits >> 31)


def drawn(key, epoch, index, column, salt=0):
    """One number of [0, 1)."""
    state = 0
    for part in (len(key), *key, salt, epoch, index):
        state = mixed(((state ^ (part & MASK)) + GAMMA) & MASK)
    return (mixed((state + (column + 1) * GAMMA) & MASK) >> 11) / 2**53
