"""What a process says of itself in Redis: a key that expires, written even when Redis has no memory left."""

import redis

# A full Redis refuses only a script's first write, and only one that needs memory.
_SET = "redis.call('DEL', KEYS[1]) return redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])"


def set_expiring(client: redis.Redis, key: str, value: str | bytes, expires_s: int) -> None:
    """Set the key, for so many seconds. For small values of which there are few: nothing limits their memory.

    Raises:
        redis.exceptions.RedisError: Redis can't be reached, or refuses the command.
    """
    client.eval(_SET, 1, key, value, expires_s)
