-- Stores a value if it is newer than what is there.
-- KEYS: what is known of the client; its history, if the client was ever forgotten: only then something there is to be
-- erased, and a cluster refuses scripts with two keys while their slot is moved. ARGV: the value, its era, whether it
-- is a tombstone, when it expires.

-- Byte by byte: `<` of Lua compares by the rules of a language.
local function is_greater(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then
      return x > y
    end
  end
  return #a > #b
end

-- Whether a server of ours may have written it: an era of 32 bits, and a time or none.
local function is_value(text)
  local era = string.match(text, '^(%d%d%d%d%d%d%d%d%d%d) %d+%.%d* ') or string.match(text, '^(%d%d%d%d%d%d%d%d%d%d) %- ')
  return era and tonumber(era) <= 4294967295
end

local function set_end()
  if ARGV[4] == '0' then
    redis.call('PERSIST', KEYS[1])
  elseif redis.call('EXPIRETIME', KEYS[1]) ~= tonumber(ARGV[4]) then
    redis.call('EXPIREAT', KEYS[1], ARGV[4])
  end
end

local known = redis.pcall('GET', KEYS[1])
if type(known) == 'table' then
  -- It is something else than a string, which no server of ours has written.
  redis.call('DEL', KEYS[1])
  known = false
elseif known and not is_value(known) then
  known = false
end
if known == ARGV[1] then
  -- How long clients are kept may have changed since.
  set_end()
  return 0
end
if known and not is_greater(ARGV[1], known) then
  return 0
end
-- First, because with the value there it would not be done again.
if ARGV[3] == '1' then
  redis.call('DEL', KEYS[2])
elseif KEYS[2] and string.sub(known or '', 1, 10) ~= string.sub(ARGV[1], 1, 10) then
  -- Of what was reported before this era began nothing stays.
  local entries = redis.pcall('XRANGE', KEYS[2], '-', '+')
  for _, entry in ipairs(entries) do
    if (tonumber(entry[2][4]) or 0) < tonumber(ARGV[2]) then
      redis.call('XDEL', KEYS[2], entry[1])
    end
  end
end
redis.call('SET', KEYS[1], ARGV[1])
set_end()
return 1
