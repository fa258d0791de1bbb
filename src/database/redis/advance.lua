-- Remembers how far a server has come, unless what was remembered before is lost.
-- KEYS: where that is remembered. ARGV: the position before, or nothing if there was none; the position.

if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
