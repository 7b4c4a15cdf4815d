/* SPDX-License-Identifier: Apache-2.0 */

/* Knows /v1/health: what there is at a glance, without asking anybody. */

#include "request.h"

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

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "status");
  json_builder_add_string_value (builder, "ok");
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

  json_builder_set_member_name (builder, "store");
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "kind");
  json_builder_add_string_value (builder,
                                 image_store_get_name (operations_get_store (operations)));
  json_builder_end_object (builder);
  json_builder_end_object (builder);

  request_answer (request, SOUP_STATUS_OK, json_builder_get_root (builder));
}
