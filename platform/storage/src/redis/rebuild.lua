-- Adds a page of timers while a rebuild is under way. A timer that is there already keeps the earlier time: the page
-- may be older than it, and a timer that fires too early does no harm.
-- KEYS: due, rebuilders.  ARGV: the rebuild's mark, then score and member, pair by pair.
-- Answers 0, or -1 when the mark is gone and earlier pages with it.
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then
  return -1
end
redis.call('ZADD', KEYS[1], 'LT', unpack(ARGV, 2))
return 0
