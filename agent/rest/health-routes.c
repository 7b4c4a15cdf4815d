/* SPDX-License-Identifier: Apache-2.0 */

/* Knows /v1/health and /v1/reload: how the daemon is, at a glance and without asking anybody, and
 * that it may read its settings again. */

#include "request.h"

#include <core/error.h>

static gint64
count_attached (GPtrArray *guests)
{
  gint64 attached = 0;

  for (guint i = 0; i < guests->len; i++)
    attached += guest_get_state (g_ptr_array_index (guests, i)) == GUEST_ATTACHED;
  return attached;
}

static gint64
count_running (GPtrArray *operations)
{
  gint64 running = 0;

  for (guint i = 0; i < operations->len; i++)
    running += !operation_is_finished (g_ptr_array_index (operations, i));
  return running;
}

static void
add_journal (JsonBuilder  *builder,
             const GError *damage)
{
  json_builder_set_member_name (builder, "journal");
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "damaged");
  json_builder_add_boolean_value (builder, damage != NULL);
  if (damage != NULL)
    {
      json_builder_set_member_name (builder, "message");
      json_builder_add_string_value (builder, damage->message);
      json_builder_set_member_name (builder, "hint");
      json_builder_add_string_value (builder, agent_error_get_hint (damage));
    }
  json_builder_end_object (builder);
}

static void
add_settings (JsonBuilder *builder,
              Settings    *settings)
{
  const GError *error = settings_get_error (settings);
  const char *const *waiting = settings_get_waiting (settings);

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "error");
  if (error != NULL)
    json_builder_add_string_value (builder, error->message);
  else
    json_builder_add_null_value (builder);
  json_builder_set_member_name (builder, "need_restart");
  json_builder_begin_array (builder);
  for (guint i = 0; waiting[i] != NULL; i++)
    json_builder_add_string_value (builder, waiting[i]);
  json_builder_end_array (builder);
  json_builder_end_object (builder);
}

/**
 * reload_settings:
 * @request: (transfer full): POST /v1/reload
 */
void
reload_settings (Request *request)
{
  Settings *settings = operations_get_settings (request_get_operations (request));
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (GError) error = NULL;

  if (!settings_reload (settings, &error))
    {
      request_answer_error (request, g_steal_pointer (&error));
      return;
    }

  add_settings (builder, settings);
  request_answer (request, SOUP_STATUS_OK, json_builder_get_root (builder));
}

/**
 * health_show:
 * @request: (transfer full): GET /v1/health
 */
void
health_show (Request *request)
{
  Operations *operations = request_get_operations (request);
  g_autoptr (GPtrArray) guests = guest_registry_list (operations_get_guests (operations));
  g_autoptr (GPtrArray) list = engine_list (operations_get_engine (operations), NULL);
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  const GError *damage = journal_get_damage (operations_get_journal (operations));

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "status");
  json_builder_add_string_value (builder, damage == NULL ? "ok" : "damaged");
  json_builder_set_member_name (builder, "version");
  json_builder_add_string_value (builder, QSNAPD_VERSION);

  json_builder_set_member_name (builder, "guests");
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "known");
  json_builder_add_int_value (builder, guests->len);
  json_builder_set_member_name (builder, "attached");
  json_builder_add_int_value (builder, count_attached (guests));
  json_builder_end_object (builder);

  json_builder_set_member_name (builder, "operations");
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "running");
  json_builder_add_int_value (builder, count_running (list));
  json_builder_end_object (builder);

  json_builder_set_member_name (builder, "settings");
  add_settings (builder, operations_get_settings (operations));

  json_builder_set_member_name (builder, "store");
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "kind");
  json_builder_add_string_value (builder,
                                 image_store_get_name (operations_get_store (operations)));
  json_builder_end_object (builder);

  add_journal (builder, damage);
  json_builder_end_object (builder);

  request_answer (request, SOUP_STATUS_OK, json_builder_get_root (builder));
}
