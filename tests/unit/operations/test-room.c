/* SPDX-License-Identifier: Apache-2.0 */
#include "room.h"

#define MIB ((gint64) 1 << 20)

static void
test_judge (void)
{
  const struct { gint64 left, waited_s; RoomVerdict verdict; } rows[] = {
    { 101 * MIB, -1, ROOM_GO_ON },
    { 100 * MIB, -1, ROOM_WAIT },
    { 0, -1, ROOM_WAIT },
    /* A quarter more than the reserve, before it goes on. */
    { 101 * MIB, 0, ROOM_WAIT },
    { 125 * MIB, 59, ROOM_WAIT },
    { 126 * MIB, 0, ROOM_WAIT_NO_LONGER },
    { 126 * MIB, 1000, ROOM_WAIT_NO_LONGER },
    { 125 * MIB, 60, ROOM_GIVE_UP },
    { 0, 1000, ROOM_GIVE_UP },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_test_message ("row %" G_GSIZE_FORMAT, i);
      g_assert_cmpint (room_judge (rows[i].left, 100 * MIB, rows[i].waited_s, 60), ==,
                       rows[i].verdict);
    }
}

static void
test_reserve (void)
{
  const char *const overrides[] = { "daemon.reserve=7MiB", NULL };
  g_autoptr (Config) config = config_load (NULL, overrides, NULL);

  g_assert_cmpint (room_reserve (config, "snapshot"), ==, 7 * MIB);
  g_assert_cmpint (room_reserve (config, "stream"), ==, 7 * MIB);
  g_assert_cmpint (room_reserve (config, "commit"), ==, 0);
  g_assert_cmpint (room_reserve (config, "shorten"), ==, 0);
  g_assert_cmpint (room_reserve (config, "delete"), ==, 0);
}

static void
test_need (void)
{
  g_autoptr (JsonObject) plan = json_object_new ();
  JsonArray *list;

  room_need (plan, "/a", 1);
  room_need (plan, "/b", 2);
  list = json_object_get_array_member (plan, "room");
  g_assert_cmpuint (json_array_get_length (list), ==, 2);
  g_assert_cmpint (json_object_get_int_member (json_array_get_object_element (list, 1), "bytes"),
                   ==, 2);
  /* The first table of 16 TiB has 256 KiB, and there is more than that. */
  g_assert_cmpint (room_of_overlay ((gint64) 16 << 40), >=, 256 * 1024 + 3 * 65536);
  g_assert_cmpint (room_of_overlay (MIB), <, MIB);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/room/judge", test_judge);
  g_test_add_func ("/room/reserve", test_reserve);
  g_test_add_func ("/room/need", test_need);
  return g_test_run ();
}
