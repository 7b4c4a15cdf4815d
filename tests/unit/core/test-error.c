/* SPDX-License-Identifier: Apache-2.0 */

#include <core/error.h>

#include <gio/gio.h>

static void
test_hint_rides_along (void)
{
  g_autoptr (GError) error = agent_error_new (AGENT_ERROR_CONFLICT, "wait", "disk %s", "vda");
  g_autoptr (GError) copy = g_error_copy (error);

  g_prefix_error (&copy, "claim: ");
  g_assert_error (copy, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_cmpstr (copy->message, ==, "claim: disk vda");
  g_assert_cmpstr (agent_error_get_hint (copy), ==, "wait");
  g_assert_true (agent_error_get_hint (copy) != agent_error_get_hint (error));
}

static void
test_no_hint (void)
{
  g_autoptr (GError) foreign = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_FAILED, "x");
  g_autoptr (GError) own = NULL;

  agent_set_error (&own, AGENT_ERROR_INVALID, NULL, "%d", 7);
  g_assert_null (agent_error_get_hint (foreign));
  g_assert_null (agent_error_get_hint (own));
  g_assert_cmpstr (own->message, ==, "7");

  agent_set_error (NULL, AGENT_ERROR_INVALID, "hint", "nobody asked");
}

static void
test_words_and_back (void)
{
  static const guint http[] = {
    400, 401, 403, 404, 409, 413, 409, 507, 502, 502, 503, 504, 503, 500,
  };

  for (int code = AGENT_ERROR_INVALID; code <= AGENT_ERROR_INTERNAL; code++)
    {
      g_autoptr (GError) error = agent_error_new ((AgentError) code, NULL, "m");
      g_autoptr (GError) back = agent_error_from_word (agent_error_to_word (error), "m", "h");

      g_assert_error (back, AGENT_ERROR, code);
      g_assert_cmpstr (back->message, ==, "m");
      g_assert_cmpstr (agent_error_get_hint (back), ==, "h");
      g_assert_cmpuint (agent_error_to_http (error), ==, http[code]);
    }
}

static void
test_unknown_word (void)
{
  g_autoptr (GError) error = agent_error_from_word ("of-a-later-version", NULL, NULL);

  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INTERNAL);
}

static void
test_adopt (void)
{
  static const struct { GIOErrorEnum theirs; AgentError ours; } pairs[] = {
    { G_IO_ERROR_CANCELLED, AGENT_ERROR_CANCELLED },
    { G_IO_ERROR_NO_SPACE, AGENT_ERROR_NO_SPACE },
    { G_IO_ERROR_TIMED_OUT, AGENT_ERROR_TIMEOUT },
    { G_IO_ERROR_CONNECTION_REFUSED, AGENT_ERROR_UNAVAILABLE },
    { G_IO_ERROR_FAILED, AGENT_ERROR_INTERNAL },
  };
  g_autoptr (GError) unknown = NULL;
  g_autoptr (GError) own = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++)
    {
      g_autoptr (GError) error = g_error_new_literal (G_IO_ERROR, (int) pairs[i].theirs, "why");

      error = agent_error_adopt (g_steal_pointer (&error));
      g_assert_error (error, AGENT_ERROR, (int) pairs[i].ours);
      g_assert_cmpstr (error->message, ==, "why");
    }

  unknown = agent_error_adopt (g_error_new_literal (G_MARKUP_ERROR, G_MARKUP_ERROR_EMPTY, "e"));
  g_assert_error (unknown, AGENT_ERROR, AGENT_ERROR_INTERNAL);

  own = agent_error_adopt (agent_error_new (AGENT_ERROR_GUEST, "hint", "g"));
  g_assert_error (own, AGENT_ERROR, AGENT_ERROR_GUEST);
  g_assert_cmpstr (agent_error_get_hint (own), ==, "hint");

  g_assert_null (agent_error_adopt (NULL));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/error/hint-rides-along", test_hint_rides_along);
  g_test_add_func ("/error/no-hint", test_no_hint);
  g_test_add_func ("/error/words-and-back", test_words_and_back);
  g_test_add_func ("/error/unknown-word", test_unknown_word);
  g_test_add_func ("/error/adopt", test_adopt);

  return g_test_run ();
}
