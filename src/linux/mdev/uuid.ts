/** UUIDs as sysfs takes and prints them: lib/uuid.c (uuid_parse, `%pUl`). */

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i;

/**
 * The UUID that the first 36 characters of `text` spell, in the lower case that device names have; undefined if they
 * spell none. What follows is not looked at: the length rule is the caller's.
 */
export function parseUuid(text: string): string | undefined {
  return UUID.exec(text)?.[0].toLowerCase();
}
