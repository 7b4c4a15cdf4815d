/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a guest looks as a server of Nova's, in each microversion. What Nova knows and we do
 * not (flavor, addresses, metadata, ...) is there, and empty: clients look for it. */

#include "nova-server.h"

#include "nova.h"

#include <core/error.h>

#include <time.h>
#include <unistd.h>

/**
 * nova_view_clear:
 * @view: what goes out of scope
 */
void
nova_view_clear (NovaView *view)
{
  g_clear_pointer (&view->base, g_free);
}

/**
 * nova_server_id:
 * @guest: a guest
 *
 * Returns: (transfer full): its UUID, or one that belongs to its id where it has none
 */
char *
nova_server_id (Guest *guest)
{
  const char *uuid = guest_get_uuid (guest);

  /* Before it is attached for the first time, only the configuration knows. */
  if (uuid == NULL)
    uuid = guest_get_config (guest)->uuid;
  return uuid != NULL ? g_ascii_strdown (uuid, -1) : nova_id_from_name (guest_get_id (guest));
}

/**
 * nova_server_all:
 * @operations: what knows all guests
 *
 * Returns: (transfer full) (element-type utf8 Guest): a guest for each server, by its id
 */
GHashTable *
nova_server_all (Operations *operations)
{
  g_autoptr (GPtrArray) guests = guest_registry_list (operations_get_guests (operations));
  GHashTable *servers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_object_unref);

  /* One that has come back elsewhere is there twice, and attached once. */
  for (guint i = 0; i < guests->len; i++)
    {
      Guest *guest = g_ptr_array_index (guests, i);
      g_autofree char *id = nova_server_id (guest);

      if (guest_get_state (guest) == GUEST_ATTACHED || !g_hash_table_contains (servers, id))
        g_hash_table_replace (servers, g_steal_pointer (&id), g_object_ref (guest));
    }
  return servers;
}

/**
 * nova_server_find:
 * @operations: what knows all guests
 * @id: a server's id
 * @error: return location
 *
 * Returns: (transfer none): its guest; else %NULL with %AGENT_ERROR_NOT_FOUND. That is what clients
 *   want to hear for a name: they look for it in the list then
 */
Guest *
nova_server_find (Operations  *operations,
                  const char  *id,
                  GError     **error)
{
  g_autoptr (GHashTable) servers = nova_server_all (operations);
  g_autofree char *wanted = g_ascii_strdown (id, -1);
  Guest *found = g_hash_table_lookup (servers, wanted);

  /* The registry keeps it. */
  if (found != NULL)
    return found;

  agent_set_error (error, AGENT_ERROR_NOT_FOUND, NULL, "Instance %.255s could not be found.", id);
  return NULL;
}

/**
 * nova_server_state:
 * @operations: what works on the guest
 * @guest: a guest
 *
 * Returns: the state of its server
 */
NovaState
nova_server_state (Operations *operations,
                   Guest      *guest)
{
  NovaState state = nova_state_of_guest (guest_get_state (guest) == GUEST_ATTACHED,
                                         guest_get_run_state (guest));
  g_autoptr (GPtrArray) list = engine_list (operations_get_engine (operations),
                                            guest_get_id (guest));

  for (guint i = 0; i < list->len && state.task_state == NULL; i++)
    {
      Operation *operation = g_ptr_array_index (list, i);

      state.task_state = nova_task_of_operation (operation_get_kind (operation),
                                                 operation_get_state (operation),
                                                 operation_get_step (operation));
    }
  return state;
}

static void
add_link (JsonArray      *links,
          const char     *relation,
          const NovaView *view,
          const char     *path,
          const char     *id)
{
  g_autofree char *address = g_strconcat (view->base, path, id, NULL);
  JsonObject *link = json_object_new ();

  json_object_set_string_member (link, "rel", relation);
  nova_set_text (link, "href", address);
  json_array_add_object_element (links, link);
}

/**
 * nova_server_to_link:
 * @guest: a guest
 * @view: how it is looked at
 *
 * Returns: (transfer full): what is told of it in short
 */
JsonObject *
nova_server_to_link (Guest          *guest,
                     const NovaView *view)
{
  JsonObject *server = json_object_new ();
  JsonArray *links = json_array_new ();
  g_autofree char *id = nova_server_id (guest);

  add_link (links, "self", view, "/v2.1/servers/", id);
  add_link (links, "bookmark", view, "/servers/", id);
  json_object_set_string_member (server, "id", id);
  nova_set_text (server, "name", guest_get_id (guest));
  json_object_set_array_member (server, "links", links);
  return server;
}

/* When the guest's process began, in seconds since 1970; 0 when that is not known. */
static gint64
find_start (Guest *guest)
{
  guint64 ticks = guest_get_start_time (guest);
  long ticks_per_second = sysconf (_SC_CLK_TCK);
  struct timespec up;
  gint64 boot_us;

  if (ticks == 0 || ticks_per_second <= 0 || clock_gettime (CLOCK_BOOTTIME, &up) != 0)
    return 0;

  /* In whole seconds, each by itself, the two clocks would differ now by one and now not. */
  boot_us = g_get_real_time () - up.tv_sec * G_USEC_PER_SEC - up.tv_nsec / 1000;
  return (boot_us + (gint64) (ticks * G_USEC_PER_SEC / (guint64) ticks_per_second)) /
         G_USEC_PER_SEC;
}

/* When the last operation on the guest began or ended; 0 when there was none. */
static gint64
find_change (Operations *operations,
             Guest      *guest)
{
  static const char *const members[] = { "finished", "started", "created" };
  g_autoptr (GPtrArray) list = engine_list (operations_get_engine (operations),
                                            guest_get_id (guest));
  g_autoptr (JsonNode) newest = list->len > 0 ? operation_to_json (g_ptr_array_index (list, 0))
                                              : NULL;

  for (gsize i = 0; newest != NULL && i < G_N_ELEMENTS (members); i++)
    {
      const char *text = json_object_get_string_member (json_node_get_object (newest), members[i]);
      g_autoptr (GDateTime) time = text != NULL ? g_date_time_new_from_iso8601 (text, NULL) : NULL;

      if (time != NULL)
        return g_date_time_to_unix (time);
    }
  return 0;
}

static void
set_flavor (JsonObject     *server,
            Guest          *guest,
            const NovaView *view)
{
  static const char *const sizes[] = { "vcpus", "ram", "disk", "ephemeral", "swap" };
  const char *kind = guest_kind_to_string (guest_get_kind (guest));
  JsonObject *flavor = json_object_new ();

  if (view->minor < 47)
    {
      JsonArray *links = json_array_new ();

      add_link (links, "bookmark", view, "/flavors/", kind);
      json_object_set_string_member (flavor, "id", kind);
      json_object_set_array_member (flavor, "links", links);
    }
  else
    {
      for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
        json_object_set_int_member (flavor, sizes[i], 0);
      json_object_set_string_member (flavor, "original_name", kind);
      json_object_set_object_member (flavor, "extra_specs", json_object_new ());
    }
  json_object_set_object_member (server, "flavor", flavor);
}

static void
set_states (JsonObject *server,
            Operations *operations,
            Guest      *guest)
{
  NovaState state = nova_server_state (operations, guest);
  const GError *error = guest_get_error (guest);

  json_object_set_string_member (server, "status", nova_state_to_status (&state));
  json_object_set_string_member (server, "OS-EXT-STS:vm_state", state.vm_state);
  nova_set_text (server, "OS-EXT-STS:task_state", state.task_state);
  json_object_set_int_member (server, "OS-EXT-STS:power_state", state.power_state);

  if (!nova_state_has_image (&state) && error != NULL)
    {
      g_autofree char *now = nova_time (g_get_real_time () / G_USEC_PER_SEC);
      JsonObject *fault = json_object_new ();

      json_object_set_int_member (fault, "code", 500);
      json_object_set_string_member (fault, "created", now);
      nova_set_text (fault, "message", error->message);
      json_object_set_object_member (server, "fault", fault);
    }
}

static void
set_times (JsonObject *server,
           Operations *operations,
           Guest      *guest)
{
  gint64 start = find_start (guest);
  g_autofree char *created = nova_time (start);
  g_autofree char *updated = nova_time (MAX (start, find_change (operations, guest)));

  nova_set_text (server, "created", created);
  nova_set_text (server, "updated", updated);
  nova_set_text (server, "OS-SRV-USG:launched_at", NULL);
  nova_set_text (server, "OS-SRV-USG:terminated_at", NULL);
}

static void
set_place (JsonObject *server,
           Guest      *guest)
{
  const char *host = g_get_host_name ();
  const char *name = guest_get_name (guest) != NULL ? guest_get_name (guest)
                                                    : guest_get_id (guest);
  g_autofree char *host_id = g_compute_checksum_for_string (G_CHECKSUM_SHA256, host, -1);

  json_object_set_string_member (server, "hostId", host_id);
  json_object_set_string_member (server, "OS-EXT-AZ:availability_zone", "nova");
  nova_set_text (server, "OS-EXT-SRV-ATTR:host", host);
  nova_set_text (server, "OS-EXT-SRV-ATTR:hypervisor_hostname", host);
  nova_set_text (server, "OS-EXT-SRV-ATTR:instance_name", name);
}

/* What came with later versions, and is empty here. */
static void
set_versioned (JsonObject     *server,
               Guest          *guest,
               const NovaView *view)
{
  static const struct { guint minor; const char *member; const char *json; } members[] = {
    {  3, "OS-EXT-SRV-ATTR:launch_index",     "0"      },
    {  3, "OS-EXT-SRV-ATTR:kernel_id",        "\"\""   },
    {  3, "OS-EXT-SRV-ATTR:ramdisk_id",       "\"\""   },
    {  3, "OS-EXT-SRV-ATTR:reservation_id",   "\"\""   },
    {  3, "OS-EXT-SRV-ATTR:root_device_name", "null"   },
    {  3, "OS-EXT-SRV-ATTR:user_data",        "null"   },
    {  9, "locked",                           "false"  },
    { 16, "host_status",                      "\"UP\"" },
    { 19, "description",                      "null"   },
    { 26, "tags",                             "[]"     },
    { 63, "trusted_image_certificates",       "null"   },
    { 71, "server_groups",                    "[]"     },
    { 73, "locked_reason",                    "null"   },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (members); i++)
    if (view->minor >= members[i].minor)
      json_object_set_member (server, members[i].member,
                              json_from_string (members[i].json, NULL));
  if (view->minor >= 3)
    nova_set_text (server, "OS-EXT-SRV-ATTR:hostname", guest_get_id (guest));
}

/**
 * nova_server_to_json:
 * @operations: what works on the guest
 * @guest: a guest
 * @view: how it is looked at
 *
 * Returns: (transfer full): all that is told of it
 */
JsonObject *
nova_server_to_json (Operations     *operations,
                     Guest          *guest,
                     const NovaView *view)
{
  static const char *const empty[] = {
    "image", "user_id", "accessIPv4", "accessIPv6", "config_drive"
  };
  JsonObject *server = nova_server_to_link (guest, view);

  for (gsize i = 0; i < G_N_ELEMENTS (empty); i++)
    json_object_set_string_member (server, empty[i], "");
  nova_set_text (server, "tenant_id", view->project != NULL ? view->project : "");
  nova_set_text (server, "key_name", NULL);
  json_object_set_string_member (server, "OS-DCF:diskConfig", "MANUAL");
  json_object_set_int_member (server, "progress", 0);
  json_object_set_object_member (server, "addresses", json_object_new ());
  json_object_set_object_member (server, "metadata", json_object_new ());
  json_object_set_array_member (server, "os-extended-volumes:volumes_attached", json_array_new ());

  set_states (server, operations, guest);
  set_times (server, operations, guest);
  set_place (server, guest);
  set_flavor (server, guest, view);
  set_versioned (server, guest, view);
  return server;
}
